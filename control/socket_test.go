package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/city"
)

func TestALivingNodesSocketIsNeverTaken(t *testing.T) {
	dir := t.TempDir()
	first, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = listen(dir)
	wantCode(t, err, doppelboden.Invalid, "another node is running")
	if _, err := os.Stat(filepath.Join(dir, socketName)); err != nil {
		t.Errorf("the living node's socket is gone: %v", err)
	}
	first.release()
	if _, err := os.Stat(filepath.Join(dir, socketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	again, err := listen(dir)
	if err != nil {
		t.Fatalf("after the first node's end: %v", err)
	}
	again.release()
}

func TestADeadNodesSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, socketName)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	_, err = NewClient(dir, nil).Status(t.Context())
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("asking a dead node: %v, want %v", err, ErrUnreachable)
	}
	s, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.release()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestALongFolderNameIsNoHindrance(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 100), strings.Repeat("y", 100))
	s, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.release()
	answer := make(chan string, 1)
	go func() {
		c, err := s.Accept()
		if err != nil {
			answer <- err.Error()
			return
		}
		defer c.Close()
		answer <- peer(c)
	}()
	_, err = NewClient(dir, nil).Status(t.Context())
	if !errors.Is(err, ErrUnreachable) { // it hangs up without an answer
		t.Errorf("got %v, want %v", err, ErrUnreachable)
	}
	if who := <-answer; who == "" || strings.Contains(who, " closed") {
		t.Errorf("the peer is %q, want a user's name", who)
	}
}

func TestEveryErrorTravelsWithItsCode(t *testing.T) {
	for c := doppelboden.Temporary; c <= doppelboden.Fenced; c++ {
		err := fmt.Errorf("while asking: %w", &doppelboden.Error{Code: c, Public: "text"})
		got := describe(err).err()
		wantCode(t, got, c, "while asking: text")
	}
	if got := describe(errors.New("unknown")).err(); doppelboden.CodeOf(got) != doppelboden.Temporary {
		t.Errorf("an unknown error has code %v", doppelboden.CodeOf(got))
	}
	m := city.Mistakes{{File: "f", Line: 3, Problem: city.Text{Key: "p %s", Args: []string{"1"}}, Want: city.Text{Key: "w"}}}
	var back city.Mistakes
	if err := describe(fmt.Errorf("x: %w", m)).err(); !errors.As(err, &back) || back[0].String() != m[0].String() {
		t.Errorf("mistakes came back as %v", err)
	}
}

func TestAnAnswerThatIsCutIsNotTakenForAnEnd(t *testing.T) {
	dir := t.TempDir()
	s, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.release()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"item":{"address":"a@a.de"}}`+"\n")
	})}
	go server.Serve(s)
	defer server.Close()
	n := 0
	err = NewClient(dir, nil).Mailboxes(t.Context(), "", func(Mailbox) error { n++; return nil })
	if !errors.Is(err, ErrUnreachable) || n != 1 {
		t.Errorf("got %v after %d items, want %v after one", err, n, ErrUnreachable)
	}
}

func TestAYieldThatHasEnoughEndsTheWalk(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@a.de", "y@a.de")
	enough := errors.New("enough")
	n := 0
	err := w.client.Mailboxes(t.Context(), "", func(Mailbox) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("got %v after %d mailboxes, want %v after one", err, n, enough)
	}
}

func TestARequestThatNobodyKnowsIsRefused(t *testing.T) {
	w := newTown(t)
	err := w.client.ask(t.Context(), "GET", "/nonsense", nil, nil, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v, want 404", err)
	}
}

func TestStopWaitsForNobodyLongerThanItsContext(t *testing.T) {
	dir := t.TempDir()
	server, err := Start(dir, &Desk{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	path, _, err := socketPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /mailboxes/import HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Stop(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, socketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
