package makerun

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doppelboden/test/peer"
)

const limit = 3 * time.Minute // far above what it needs, also on a busy machine

// output is what the script prints, while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// eventually waits until ok says yes.
func eventually(t *testing.T, what string, out *output, ok func() bool) {
	t.Helper()
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-end.C:
			t.Fatalf("wanted %s within %v; make run printed:\n%s", what, limit, out)
		case <-tick.C:
		}
	}
}

func port(t *testing.T) string {
	t.Helper()
	addr, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start runs the script and returns what it prints, and what ends it.
func start(t *testing.T, env []string) (*output, func()) {
	t.Helper()
	cmd := exec.Command("../../scripts/run.sh")
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A pipe of ours: Wait must not wait for what the script may have left behind.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, read := &output{}, make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(out, r)
		r.Close()
	}()
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		select {
		case <-read: // nobody holds the pipe: its children have ended too
		case <-time.After(limit):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Errorf("wanted the node and the groupware to end with the script; it printed:\n%s", out)
		}
	}
	t.Cleanup(end)
	eventually(t, "a city that is ready", out, func() bool { return strings.Contains(out.String(), "is ready") })
	return out, end
}

func TestMakeRunTellsHowToSendAFirstMailAndItArrives(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "doppelboden")
	if out, err := exec.Command("go", "build", "-o", program, "doppelboden/cmd/doppelboden").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	city := filepath.Join(dir, "city")
	env := []string{"PROGRAM=" + program, "DEMO_DIR=" + city, "LANG=C",
		"MX_PORT=" + port(t), "METRICS_PORT=" + port(t), "SUBMISSION_PORT=" + port(t), "GROUPWARE_PORT=" + port(t),
		"IMAPS_PORT=" + port(t), "WEB_PORT=" + port(t)}
	for _, wanted := range []int64{1, 2} { // the second run goes on with the first one's city
		out, end := start(t, env)
		var export, send string
		for _, line := range strings.Split(out.String(), "\n") {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "export DOPPELBODEN_NODE=") {
				export = line
			}
			if strings.Contains(line, " send --to ") {
				send = line
			}
		}
		if said, err := exec.Command("sh", "-c", export+"\n"+send).CombinedOutput(); err != nil {
			t.Fatalf("the lines that make run prints, %q and %q: %v\n%s", export, send, err, said)
		}
		var balance struct{ Accepted, Delivered, Difference int64 }
		eventually(t, "the mail to be handed over", out, func() bool {
			cmd := exec.Command(program, "balance", "--json", "--node", filepath.Join(city, "node.toml"))
			said, _ := cmd.Output() // it exits with 1 while something is under way
			return json.Unmarshal(said, &balance) == nil && balance.Delivered == wanted
		})
		if balance.Accepted != wanted || balance.Difference != 0 {
			t.Errorf("wanted %d accepted and a difference of 0, got %+v", wanted, balance)
		}
		end()
	}
}
