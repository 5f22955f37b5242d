package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"doppelboden/control"
	"doppelboden/send"
	"doppelboden/setup"
)

// The real program under the protocol of sd_notify(3): a datagram to the socket that
// NOTIFY_SOCKET names. When it comes, the MX must answer.
func TestSystemdHearsReadyWhenTheDoorsAreOpenAndNotBefore(t *testing.T) {
	path, err := exec.LookPath("doppelboden") // testscript.Main put it there
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "city")
	n, err := setup.Create(setup.Options{Dir: dir, Domain: "a.de", Groupware: "here", Listen: "127.0.0.1", DNS: "none", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(filepath.Dir(dir), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	serve := exec.CommandContext(ctx, path, "serve", "--node", filepath.Join(dir, setup.NodeFile))
	serve.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	serve.Stdout, serve.Stderr = t.Output(), t.Output()
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		serve.Process.Kill()
		serve.Wait() // a second call only says that it has ended
	}()

	systemd.SetReadDeadline(time.Now().Add(patience))
	word := make([]byte, 4096)
	length, err := systemd.Read(word)
	if err != nil || string(word[:length]) != "READY=1" {
		t.Fatalf("systemd heard %q, %v; want READY=1", word[:length], err)
	}
	status, err := control.NewClient(n.Data, nil).Status(ctx)
	if err != nil {
		t.Fatalf("the node said it is ready and does not answer: %v", err)
	}
	c, err := send.Dial(ctx, status.Listeners["mx"])
	if err != nil {
		t.Fatalf("the node said it is ready and its MX does not answer: %v", err)
	}
	c.Close()
	if err := serve.Process.Signal(syscall.SIGHUP); err != nil { // the window was closed
		t.Fatal(err)
	}
	if c, err = send.Dial(ctx, status.Listeners["mx"]); err != nil {
		t.Fatalf("after the window was closed the MX does not answer: %v", err)
	}
	c.Close()
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := serve.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, want exit code 0", err)
	}
}
