// Command ahead runs a node whose clock is ahead, so that retention removes today what
// it would otherwise remove in a month. It is for benches alone.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"doppelboden/app"
	"doppelboden/setup"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ahead:", err)
		os.Exit(4)
	}
}

func run() error {
	path := flag.String("node", "", "the node's file node.toml")
	by := flag.Duration("by", 32*24*time.Hour, "how far the clock is ahead")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	n, err := setup.ReadNode(*path)
	if err != nil {
		return err
	}
	node, err := app.New(ctx, app.Options{
		Node: n, Version: "bench", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Clock: func() time.Time { return time.Now().Add(*by) },
	})
	if err != nil {
		return fmt.Errorf("open the node: %w", err)
	}
	return node.Run(ctx, func(*app.Node) {})
}
