package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"doppelboden/app"
)

func (p *program) serveCommand() *cobra.Command {
	return p.command("serve --node FILE", p.say.T("run the node in the foreground until it is told to stop (SIGTERM, Ctrl-C); --json: log in JSON"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			// Who started it over the network may lose the line, and nobody's mail ends with a window.
			signal.Ignore(syscall.SIGHUP)
			n, err := p.loadNode()
			if err != nil {
				return err
			}
			var handler slog.Handler = slog.NewTextHandler(p.err, nil)
			if p.json {
				handler = slog.NewJSONHandler(p.err, nil)
			}
			moreProcessors()
			node, err := app.New(ctx, app.Options{Node: n, Version: version(), Log: slog.New(handler)})
			if err != nil {
				return fmt.Errorf("open the node: %w", err)
			}
			looking, stop := context.WithCancel(ctx)
			var work sync.WaitGroup
			work.Go(func() { collectInTime(looking) })
			defer work.Wait()
			defer stop()
			return node.Run(ctx, p.ready)
		})
}

// ready says where the node listens, to people and to systemd (sd_notify(3)).
func (p *program) ready(n *app.Node) {
	at := n.Listeners()
	if p.json {
		// Whoever reads standard output for this line may be gone; the node stays.
		_ = p.object(map[string]any{"ready": true, "listeners": at})
	} else {
		p.print(p.say.T("Ready. mx: %s, submission: %s, web: %s, imap: %s, metrics: %s. Ctrl-C stops the node.",
			listener(at["mx"]), listener(at["submission"]), listener(at["web"]), listener(at["imap"]), listener(at["metrics"])))
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		fmt.Fprintln(p.err, "doppelboden: systemd:", err)
	}
}

func listener(addr string) string {
	if addr == "" {
		return "-"
	}
	return addr
}

// version is what the Go tool knows of the source that this program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}

// moreProcessors lets two more goroutines run than there are processors, unless the
// administrator has said how many (GOMAXPROCS). Two wait for the disk most of the time
// under load, one for the bodies' fsync and one for the tally's, and for the first 20 µs
// of each the scheduler takes them for running. On two processors that is 7,700 instead
// of 6,900 mails a second.
func moreProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
}
