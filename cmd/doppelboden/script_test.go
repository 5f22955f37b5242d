package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"doppelboden/control"
	"doppelboden/event"
	"doppelboden/setup"
	"doppelboden/sink"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"doppelboden": main})
}

// Each script of testdata/script is a story that a person could type. Besides the
// program it may use:
//
//	groupware [SCRIPT]  starts a stand-in and sets $GROUPWARE to its host:port
//	script SCRIPT       changes how it behaves
//	took N              waits until it has taken N deliveries
//	serve DIR           starts the node of DIR and waits until it is ready
//	stop DIR, crash DIR end it in good order, or with kill -9
//	settled DIR         waits until nothing is queued
//	outage DIR N        waits until there is an alarm about the outage N
//	capture NAME        sets $NAME to the standard output of the last command
//	field NAME KEY      sets $NAME to a value of the JSON object in its first line
//	status N COMMAND …  runs a command that must end with this exit code
func TestCommandsBehaveAsAPersonWouldTypeThem(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("LANG", "en")
			e.Setenv("TZ", "UTC")
			e.Values[stageKey{}] = &stage{nodes: map[string]*exec.Cmd{}}
			e.Defer(func() { e.Values[stageKey{}].(*stage).clear(e.T()) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"groupware": groupwareCmd, "script": scriptCmd, "took": tookCmd,
			"serve": serveCmd, "stop": stopCmd, "crash": crashCmd, "settled": settledCmd, "outage": outageCmd,
			"capture": captureCmd, "field": fieldCmd, "status": statusCmd, "until": untilCmd,
		},
	})
}

type stageKey struct{}

// A stage is what a script has started.
type stage struct {
	sink  *sink.Sink
	nodes map[string]*exec.Cmd
	logs  nodesLog
}

func onStage(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

func (s *stage) clear(t testscript.T) {
	for _, c := range s.nodes {
		c.Process.Kill()
		c.Wait()
	}
	if s.sink != nil {
		s.sink.Close()
	}
	if f, ok := t.(interface{ Failed() bool }); ok && f.Failed() {
		t.Log("the nodes logged:\n" + s.logs.text.String())
	}
}

// patience is how long a script waits for a thing that must come.
const patience = 60 * time.Second

func readScript(ts *testscript.TestScript, args []string) *sink.Script {
	if len(args) == 0 {
		return nil
	}
	s, err := sink.Parse(args[0], []byte(ts.ReadFile(args[0])))
	ts.Check(err)
	return s
}

func groupwareCmd(ts *testscript.TestScript, _ bool, args []string) {
	s, err := sink.Start(sink.Options{Script: readScript(ts, args)})
	ts.Check(err)
	onStage(ts).sink = s
	ts.Setenv("GROUPWARE", s.Addr())
}

func scriptCmd(ts *testscript.TestScript, _ bool, args []string) {
	onStage(ts).sink.SetScript(readScript(ts, args))
}

func tookCmd(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := onStage(ts).sink
	if err := s.Wait(ctx, func(st sink.Stats) bool { return st.Deliveries >= n }); err != nil {
		ts.Fatalf("the groupware took %d deliveries, want %d: %v", s.Stats().Deliveries, n, err)
	}
	if got := s.Stats(); got.Deliveries != n || !got.Seen.Clean() {
		ts.Fatalf("the groupware took %d deliveries, want %d, and saw %+v", got.Deliveries, n, got.Seen)
	}
}

func serveCmd(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath("doppelboden") // testscript.Main put it there
	ts.Check(err)
	c := exec.Command(path, "serve", "--json", "--node", ts.MkAbs(args[0])+"/"+setup.NodeFile)
	c.Stderr = &onStage(ts).logs
	out, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	onStage(ts).nodes[args[0]] = c
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, `"ready":true`) {
		ts.Fatalf("the node said %q, %v; want that it is ready", line, err)
	}
	go io.Copy(io.Discard, out)
}

// A nodesLog is what nodes log; it is shown when a script fails.
type nodesLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *nodesLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func stopCmd(ts *testscript.TestScript, _ bool, args []string)  { end(ts, args[0], syscall.SIGTERM) }
func crashCmd(ts *testscript.TestScript, _ bool, args []string) { end(ts, args[0], syscall.SIGKILL) }

func end(ts *testscript.TestScript, dir string, sig syscall.Signal) {
	c := onStage(ts).nodes[dir]
	delete(onStage(ts).nodes, dir)
	ts.Check(c.Process.Signal(sig))
	if err := c.Wait(); sig == syscall.SIGTERM && err != nil {
		ts.Fatalf("the node ended with %v after SIGTERM, want exit code 0", err)
	}
}

func settledCmd(ts *testscript.TestScript, _ bool, args []string) {
	n, err := setup.ReadNode(ts.MkAbs(args[0]) + "/" + setup.NodeFile)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		s, err := control.NewClient(n.Data, nil).Status(ctx)
		ts.Check(err)
		queued := int64(0)
		for _, t := range s.Tenants {
			queued += t.Counts["queued"]
		}
		if queued == 0 && s.Database.Landed == 0 {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%d deliveries are still queued, %d mails are not in the database", queued, s.Database.Landed)
		case <-look.C:
		}
	}
}

// untilCmd runs a command again and again until its output matches: what it tells may be
// on its way.
func untilCmd(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[0])
	end := time.Now().Add(patience)
	for {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if got := ts.ReadFile("stdout"); want.MatchString(got) {
			return
		} else if time.Now().After(end) {
			ts.Fatalf("no match for %q in %s", args[0], got)
		}
	}
}

func outageCmd(ts *testscript.TestScript, _ bool, args []string) {
	n, err := setup.ReadNode(ts.MkAbs(args[0]) + "/" + setup.NodeFile)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		s, err := control.NewClient(n.Data, nil).Status(ctx)
		ts.Check(err)
		for _, a := range s.Alarms {
			if a.Kind == event.AlarmKind && strings.HasSuffix(a.Subject, "/"+args[1]) {
				return
			}
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("no outage %s: %+v", args[1], s.Events)
		case <-look.C:
		}
	}
}

func captureCmd(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

func fieldCmd(ts *testscript.TestScript, _ bool, args []string) {
	first, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(first), &object))
	v, ok := object[args[1]]
	if !ok {
		ts.Fatalf("%q is not in %s", args[1], first)
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

func statusCmd(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%v: %v", args[1:], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
