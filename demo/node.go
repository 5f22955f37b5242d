package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"doppelboden/control"
	"doppelboden/setup"
)

// A node is the program running as a node of its own.
type node struct {
	program string
	dir     string // with node.toml
	data    string // the data folder
	mx      string // where it takes mail, once it has started

	cmd  *exec.Cmd
	done chan error // what became of it; nil while none runs
}

// patience bounds how long a node may take to start or to stop.
const patience = 60 * time.Second

func (n *node) client() *control.Client { return control.NewClient(n.data, nil) }

// start starts it and waits until it takes mail.
func (n *node) start(ctx context.Context) error {
	log, err := os.OpenFile(n.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the node's log: %w", err)
	}
	defer log.Close()
	n.cmd = exec.Command(n.program, "serve", "--node", filepath.Join(n.dir, setup.NodeFile))
	n.cmd.Stdout, n.cmd.Stderr = log, log
	// A group of its own: Ctrl-C in the terminal ends the play, and the play the node.
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	n.done = make(chan error, 1)
	go func() { n.done <- n.cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		s, err := n.client().Status(ctx)
		if err == nil && s.Listeners["mx"] != "" {
			n.mx = s.Listeners["mx"]
			return nil
		}
		select {
		case <-n.done:
			n.done = nil
			return fmt.Errorf("the node ended: %s", n.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("wait for the node: %w: %s", ctx.Err(), n.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (n *node) log() string { return filepath.Join(n.dir, "node.log") }

// lastWords returns the end of its log.
func (n *node) lastWords() string {
	f, err := os.Open(n.log())
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 1000 {
		if _, err := f.Seek(-1000, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// kill ends it as a power cut would end a process: at once, without a word.
func (n *node) kill() error {
	if n.done == nil {
		return nil
	}
	if err := n.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the node: %w", err)
	}
	<-n.done
	n.done = nil
	return nil
}

// stop ends it in good order, and otherwise too.
func (n *node) stop() error {
	if n.done == nil {
		return nil
	}
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the node: %w", err)
	}
	select {
	case err := <-n.done:
		n.done = nil
		if err != nil {
			return fmt.Errorf("the node did not stop well: %w: %s", err, n.lastWords())
		}
		return nil
	case <-time.After(patience):
		return errors.Join(errors.New("the node did not stop and was killed"), n.kill())
	}
}
