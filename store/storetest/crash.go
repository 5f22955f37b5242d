package storetest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

// crashDir is the environment variable that makes a run of the test binary the child
// that is killed; it names the folder of its store.
const crashDir = "STORETEST_CRASH_DIR"

// crashEarly makes that child acknowledge before the commit.
const crashEarly = "STORETEST_CRASH_EARLY"

// crashAfter is how many acknowledged messages the child is killed after.
const crashAfter = 400

func testCrash(t *testing.T, open Open) {
	t.Run("what was acknowledged outlives kill -9", func(t *testing.T) {
		for range 3 {
			if missing, acked := crash(t, open, false); missing != 0 {
				t.Errorf("%d of %d acknowledged messages are missing", missing, acked)
			}
		}
	})
	t.Run("this test finds a store that acknowledges before the commit", func(t *testing.T) {
		for range 10 {
			if missing, _ := crash(t, open, true); missing > 0 {
				return
			}
		}
		t.Errorf("ten crashes of a store that acknowledges too early, and nothing was missing")
	})
}

// crash kills a child under load and counts what it acknowledged and what is missing.
func crash(t *testing.T, open Open, early bool) (missing, acked int) {
	var env []string
	if early {
		env = []string{crashEarly + "=1"}
	}
	dir, ids := kill(t, env...)
	return lost(t, open, dir, ids), len(ids)
}

// kill kills a child under load and returns its folder and what it acknowledged.
func kill(t *testing.T, env ...string) (dir string, ids []doppelboden.ID) {
	dir = t.TempDir()
	top, _, _ := strings.Cut(t.Name(), "/")
	child := exec.Command(os.Args[0], "-test.run=^"+regexp.QuoteMeta(top)+"$", "-test.count=1")
	child.Env = append(append(os.Environ(), crashDir+"="+dir), env...)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		id, err := doppelboden.ParseID(strings.TrimPrefix(lines.Text(), "ack "))
		if err != nil {
			continue // the child's test runner speaks as well
		}
		if ids = append(ids, id); len(ids) == crashAfter {
			// What it has acknowledged until it dies is still read from the pipe.
			if err := child.Process.Signal(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	child.Wait()
	if len(ids) < crashAfter {
		t.Fatalf("the child ended after %d messages", len(ids))
	}
	return dir, ids
}

// lost counts the ids that are not in the store, and checks what is there.
func lost(t *testing.T, open Open, dir string, ids []doppelboden.ID) (missing int) {
	s := open(t, Setup{Dir: dir, Chain: newChain("after"), Clock: nil})
	defer s.Close()
	for _, id := range ids {
		m, err := s.Message(ctx, id)
		if err != nil {
			missing++
		} else if len(m.Deliveries) != 2 || len(m.Copies) != 1 {
			t.Errorf("after a crash a message has %d deliveries and %d copies, wanted 2 and 1", len(m.Deliveries), len(m.Copies))
		}
	}
	links := gather(t, func(y func(doppelboden.Link) error) error { return s.Links(ctx, day.AddDate(-10, 0, 0), y) })
	entries := checkLinks(t, links)
	rows := gather(t, func(y func(store.Item) error) error { return s.Deliveries(ctx, store.Filter{}, y) })
	if len(rows) != 2*len(entries) {
		t.Errorf("after a crash %d deliveries and %d accepted messages in the ledger, wanted twice as many", len(rows), len(entries))
	}
	counts, err := s.Counts(ctx)
	counted := int64(0)
	for _, c := range counts {
		counted += c.Deliveries
	}
	if err != nil || counted != int64(len(rows)) {
		t.Errorf("after a crash counts are %v (%v), there are %d deliveries", counts, err, len(rows))
	}
	return missing
}

// crashChild is the child: it accepts and acknowledges until it is killed. In any other
// process it does nothing and returns false.
func crashChild(t *testing.T, open Open) bool {
	dir := os.Getenv(crashDir)
	if dir == "" {
		return false
	}
	w := &world{t: t, tb: t, open: open, dir: dir, chain: newChain("before"), now: day}
	w.start()
	box := doppelboden.Mailbox{ID: 1, Tenant: 1, Address: addr("anna", "stadt.example")}
	if mode := os.Getenv(crashNotices); mode != "" {
		bounceForEver(w, box, mode == "apart")
	}
	if mode := os.Getenv(crashFolders); mode != "" {
		fileForEver(w, mode == "early")
	}
	var s store.Acceptor = w.s
	if os.Getenv(crashEarly) != "" {
		s = hasty{w.s}
	}
	for range 16 {
		go func() {
			for {
				m := w.message(box, box)
				m.Copies = m.Copies[:1]
				if _, err := s.Accept(ctx, m); err != nil {
					t.Log(err)
					return
				}
				// One write each, so that it is in the pipe when the child dies.
				os.Stdout.WriteString("ack " + m.ID.String() + "\n")
			}
		}()
	}
	select {} // until the parent kills this process
}

// A hasty acceptor acknowledges before the commit: the fault that testCrash must find.
type hasty struct{ s store.Acceptor }

func (h hasty) Accept(ctx context.Context, m *doppelboden.Message) (int, error) {
	go h.s.Accept(ctx, m)
	return 1, nil
}
