package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/app"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/setup"
	"doppelboden/test/powercut/letter"
	"doppelboden/test/powercut/wire"
)

// A node is the real one, in this process.
type node struct {
	app    *app.Node
	client *control.Client
}

// startNode starts the node that lies on the disk. On an empty disk it makes one first,
// as "doppelboden init" and "doppelboden mailbox import" do.
func startNode(ctx context.Context, w wire.Weakness) (*node, error) {
	dir := filepath.Join(disk, "node")
	config, err := setup.ReadNode(filepath.Join(dir, setup.NodeFile))
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh {
		config, err = setup.Create(setup.Options{Dir: dir, Domain: letter.Domain, Groupware: "smtp://" + groupwareAddr,
			Listen: "127.0.0.1", DNS: "none", MXPort: 2525, MetricsPort: 9125, Now: time.Now()})
	}
	if err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	n := &node{client: control.NewClient(config.Data, nil)}
	if n.app, err = startApp(ctx, config, w); err != nil {
		return nil, err
	}
	if fresh {
		if _, err := n.client.ImportMailboxes(ctx, "mailboxes.csv", mailboxes()); err != nil {
			return nil, fmt.Errorf("import mailboxes: %w", err)
		}
	}
	return n, nil
}

// startApp opens and starts the node. What it warns of is seen on the console.
func startApp(ctx context.Context, config *city.Node, w wire.Weakness) (*app.Node, error) {
	o := app.Options{Node: config, Version: "powercut", Log: slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if w == wire.NoSynchronous {
		o.Synchronous = "OFF"
	}
	a, err := app.New(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := a.Start(ctx); err != nil {
		return nil, errors.Join(err, a.Stop(ctx))
	}
	return a, nil
}

// mailboxes is the list of all mailboxes as "doppelboden mailbox import" takes it.
func mailboxes() []byte {
	var b strings.Builder
	b.WriteString("address,name,kind,department,priority,aliases\n")
	for i := range letter.Mailboxes {
		fmt.Fprintf(&b, "%s,Amt %d,function,,5,\n", letter.Address(i), i)
	}
	return []byte(b.String())
}

// addr is where the node takes mail.
func (n *node) addr() string { return n.app.Listeners()["mx"] }

// waiting returns how many deliveries have not ended.
func (n *node) waiting(ctx context.Context) (int64, error) {
	status, err := n.client.Status(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for the status: %w", err)
	}
	var sum int64
	for _, t := range status.Tenants {
		sum += t.Counts[doppelboden.Queued.String()] + t.Counts[doppelboden.Held.String()]
	}
	return sum, nil
}

// balance verifies the ledger and returns the balance sheet in JSON.
func (n *node) balance(ctx context.Context) (string, error) {
	report, err := n.client.VerifyLedger(ctx)
	if err != nil {
		return "", fmt.Errorf("verify the ledger: %w", err)
	}
	if !report.OK() {
		return "", fmt.Errorf("the ledger has %d faults: %+v", report.Faults, report.Findings)
	}
	b, err := n.client.Balance(ctx, time.Time{}, time.Time{})
	if err != nil {
		return "", fmt.Errorf("draw the balance: %w", err)
	}
	text, err := json.Marshal(b)
	return string(text), err
}

// stop ends the node in good order.
func (n *node) stop(ctx context.Context) error { return n.app.Stop(ctx) }
