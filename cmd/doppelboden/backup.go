package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden/app"
	"doppelboden/backup"
	"doppelboden/control"
	"doppelboden/ledger"
	"doppelboden/say"
	"doppelboden/setup"
)

// backupFlags are what backup and restore are told.
type backupFlags struct {
	passphrase string // file that holds it
	plain      bool
	verify     bool
	keys       string // folder
	scratch    string
}

func (p *program) backupCommand() *cobra.Command {
	var f backupFlags
	c := p.command("backup FOLDER [--passphrase-file FILE | --plain-keys] | backup --verify FOLDER [--keys FOLDER] [--passphrase-file FILE]",
		p.say.T("copy everything a node needs into a folder, while it runs or not; again into the same folder: what is new"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return fmt.Errorf("find the folder: %w", err)
			}
			if f.verify {
				return p.verifyBackup(ctx, dir, f)
			}
			if f.keys != "" || f.scratch != "" {
				return usage(p.say.T("--keys and --scratch belong to --verify"))
			}
			return p.backUp(ctx, dir, f)
		})
	c.Flags().StringVar(&f.passphrase, "passphrase-file", "", p.say.T("the `file` with the passphrase that seals the node's keys into the backup, or opens them"))
	c.Flags().BoolVar(&f.plain, "plain-keys", false, p.say.T("put the node's keys into the backup as they are: who finds it reads all mail"))
	c.Flags().BoolVar(&f.verify, "verify", false, p.say.T("check a backup completely, with this program: sums, migrations tried on a copy, ledger, balance, every mail"))
	c.Flags().StringVar(&f.keys, "keys", "", p.say.T("the `folder` with the node's keys, for --verify of a backup without them"))
	c.Flags().StringVar(&f.scratch, "scratch", "", p.say.T("the `address` of an empty PostgreSQL database for --verify (default: one that is made beside the node's own)"))
	return c
}

// passphraseOf reads the first line of a file.
func (p *program) passphraseOf(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the passphrase: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if first = strings.TrimRight(first, "\r"); first == "" {
		return "", usage(p.say.T("%s holds no passphrase in its first line", say.Plain(file)))
	}
	return first, nil
}

// backUp has the running node back itself up, or does it here when none runs.
func (p *program) backUp(ctx context.Context, dir string, f backupFlags) error {
	passphrase, err := p.passphraseOf(f.passphrase)
	if err != nil {
		return err
	}
	client, err := p.client()
	if err != nil {
		return err
	}
	made, err := client.Backup(ctx, control.BackupOrder{Dir: dir, Passphrase: passphrase, PlainKeys: f.plain})
	if errors.Is(err, control.ErrUnreachable) {
		var stopped *backup.Made
		if stopped, err = p.backUpStopped(ctx, dir, passphrase, f.plain); err == nil {
			made = *stopped
		}
	}
	if err != nil {
		return err
	}
	if p.json {
		return p.object(summaryOf(&made))
	}
	p.backedUp(dir, &made)
	return nil
}

// backUpStopped backs up a node that does not run.
func (p *program) backUpStopped(ctx context.Context, dir, passphrase string, plain bool) (*backup.Made, error) {
	n, err := p.loadNode()
	if err != nil {
		return nil, err
	}
	signer, err := ledger.LoadKey(filepath.Join(n.Keys, setup.LedgerFile))
	if err != nil {
		return nil, err
	}
	made, err := backup.Make(ctx, backup.Source{Node: n, Database: backup.Stopped(n, app.DSN), Signer: signer, Program: version(), Clock: p.now},
		backup.Options{Dir: dir, Passphrase: passphrase, PlainKeys: plain, Progress: p.counted})
	return made, control.Refused(err)
}

// counted shows the progress of package backup.
func (p *program) counted(step string, done int64) {
	p.progress(control.Progress{Step: step, Done: done})
}

// A backupSummary is what --json says of a backup: the manifest is in the folder.
type backupSummary struct {
	Made       string           `json:"made"`
	Node       string           `json:"node"`
	Engine     string           `json:"engine"`
	Schema     int              `json:"schema"`
	LastKnot   int64            `json:"last_knot"`
	Messages   int64            `json:"messages"`
	Deliveries map[string]int64 `json:"deliveries"`
	Keys       backup.KeysIn    `json:"keys"`
	Missing    []string         `json:"missing,omitempty"`
	Files      int              `json:"files"`
	Bytes      int64            `json:"bytes"`
	Copied     int64            `json:"copied"`
	Linked     int64            `json:"linked"`
	SameDisk   bool             `json:"same_disk"`
	Took       float64          `json:"took"`
}

func summaryOf(m *backup.Made) backupSummary {
	f := m.Manifest
	return backupSummary{Made: f.Made.Format("2006-01-02T15:04:05.000000Z07:00"), Node: f.Node, Engine: f.Engine, Schema: f.Schema,
		LastKnot: f.LastKnot, Messages: f.Messages, Deliveries: f.Deliveries, Keys: f.Keys, Missing: f.Missing,
		Files: len(f.Files), Bytes: f.Size(), Copied: m.Copied, Linked: m.Linked, SameDisk: m.SameDisk, Took: m.Took}
}

// backedUp says what a backup holds, and what a person must know about it.
func (p *program) backedUp(dir string, m *backup.Made) {
	f := m.Manifest
	p.print(p.say.T("Backup of node %s as of %s: %d mails in the database, what landed since, %d files, %s. Copied: %s, linked: %s.", f.Node, p.clock(f.Made),
		f.Messages, len(f.Files), p.bytes(f.Size()), p.bytes(m.Copied), p.bytes(m.Linked)))
	for _, name := range f.Missing {
		p.print("! " + p.say.T("The file %s is missing on the node: mails in it are lost.", say.Plain(name)))
	}
	switch f.Keys {
	case backup.KeysNone:
		p.print(p.say.T("The keys are NOT in it. Without master.key nobody can read its mail, you neither: keep a copy of the folder of the keys in a safe place, or use --passphrase-file."))
	case backup.KeysSealed:
		p.print(p.say.T("The keys are in it, sealed with the passphrase. Keep the passphrase elsewhere; without it the backup is worth nothing."))
	case backup.KeysPlain:
		p.print("! " + p.say.T("The keys are in it IN CLEAR: who gets hold of the folder reads all mail of the city."))
	}
	if m.SameDisk {
		p.print("! " + p.say.T("The folder lies on the same disk as the node: when the disk dies, both are gone."))
	}
	p.print(p.say.T("Check it with: %s", "doppelboden backup --verify "+say.Plain(dir)))
}

// verifyBackup checks a backup here; the node need not run.
func (p *program) verifyBackup(ctx context.Context, dir string, f backupFlags) error {
	if f.plain {
		return usage(p.say.T("--plain-keys does not belong to --verify"))
	}
	passphrase, err := p.passphraseOf(f.passphrase)
	if err != nil {
		return err
	}
	o := backup.VerifyOptions{Dir: dir, Keys: f.keys, Passphrase: passphrase, Scratch: f.scratch, Clock: p.now, Progress: p.counted}
	if n, err := p.loadNode(); err == nil { // for its PostgreSQL; a backup of SQLite needs none
		o.Node, o.DSN = n, app.DSN
	}
	check, err := backup.Verify(ctx, o)
	if err != nil {
		return control.Refused(err)
	}
	if p.json {
		err = p.object(check)
	} else {
		p.checked(check)
	}
	if err == nil && !check.OK() {
		err = errNo
	}
	return err
}

// checked says what a check saw.
func (p *program) checked(c *backup.Check) {
	m := c.Manifest
	p.print(p.say.T("Backup of node %s as of %s, by version %s: %d files, %s read.", m.Node, p.clock(m.Made), m.Program, len(m.Files), p.bytes(c.Bytes)))
	if c.Schema > m.Schema {
		p.print(p.say.T("The database has schema %s; this program made it %s on a copy, in %s.", strconv.Itoa(m.Schema), strconv.Itoa(c.Schema), p.seconds(c.Migrated)))
	} else if c.Schema > 0 {
		p.print(p.say.T("The database has schema %s, and this program opens it.", strconv.Itoa(c.Schema)))
	}
	if c.Schema > 0 {
		p.verified(c.Ledger)
		p.print(p.say.T("Balance: accepted %d, difference %d.", c.Balance.Accepted, c.Balance.Difference))
	}
	if c.Keys {
		p.print(p.say.T("Bodies read: %d.", c.Bodies))
	} else {
		p.print("! " + p.say.T("Without the keys no mail was opened: only sums were compared. Give them with --keys or --passphrase-file."))
	}
	for _, f := range c.Findings {
		p.print("! " + say.Plain(p.say.Known(f.Key, f.Args...)))
	}
	if c.OK() {
		p.print(p.say.T("The backup is good."))
	} else {
		p.print(p.say.T("Faults: %d. Do NOT rely on this backup.", c.Faults))
	}
}

// seconds writes a duration.
func (p *program) seconds(s float64) string {
	return strconv.FormatFloat(s, 'f', 1, 64) + " s"
}

func (p *program) restoreCommand() *cobra.Command {
	var f backupFlags
	var databaseOnly bool
	c := p.command("restore FOLDER DIR [--passphrase-file FILE] [--database-only]",
		p.say.T("make a node in DIR of a backup, on this or another machine; nothing that is there is written over"), p.exactly(2),
		func(ctx context.Context, args []string) error {
			passphrase, err := p.passphraseOf(f.passphrase)
			if err != nil {
				return err
			}
			got, err := backup.Restore(ctx, backup.RestoreOptions{Backup: args[0], Dir: args[1], Passphrase: passphrase,
				DatabaseOnly: databaseOnly, DSN: app.DSN, Clock: p.now, Progress: p.counted})
			if err != nil {
				return control.Refused(err)
			}
			if p.json {
				return p.object(restoredSummary{Node: got.Node, Data: got.Data, Keys: got.Keys, Bytes: got.Bytes, Made: got.Manifest.Made.Format("2006-01-02T15:04:05.000000Z07:00")})
			}
			p.restored(got, databaseOnly)
			return nil
		})
	c.Flags().StringVar(&f.passphrase, "passphrase-file", "", p.say.T("the `file` with the passphrase of the keys in the backup"))
	c.Flags().BoolVar(&databaseOnly, "database-only", false, p.say.T("put back the database alone, of a node in DIR whose other folders are well"))
	return c
}

// A restoredSummary is what --json says of a restore.
type restoredSummary struct {
	Node  string `json:"node"`
	Data  string `json:"data"`
	Keys  string `json:"keys"`
	Bytes int64  `json:"bytes"`
	Made  string `json:"made"`
}

// restored says what was made, and what a person must know and do now.
func (p *program) restored(r *backup.Restored, databaseOnly bool) {
	p.print(p.say.T("Restored as of %s: %s.", p.clock(r.Manifest.Made), p.bytes(r.Bytes)))
	if databaseOnly {
		p.print(p.say.T("Mail that was acknowledged after that is not in the database. Start the node and bring it back from the landing:"))
		p.print("  doppelboden serve --node " + say.Plain(r.Node))
		p.print("  doppelboden --node " + say.Plain(r.Node) + " salvage")
		return
	}
	p.print(p.say.T("Mail that was acknowledged after that is not in this backup. It is lost unless the old machine's data folder can be read."))
	p.print(p.say.T("Look at the addresses in %s, make sure that the old node does not run, and start this one:", say.Plain(r.Node)))
	p.print("  doppelboden serve --node " + say.Plain(r.Node))
	p.print("  doppelboden --node " + say.Plain(r.Node) + " ledger verify")
	p.print("  doppelboden --node " + say.Plain(r.Node) + " balance")
}
