package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/app"
	"doppelboden/backup"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/ledger"
	"doppelboden/send"
	"doppelboden/setup"
	"doppelboden/test/peer"

	"crypto/ed25519"
)

// A place is an installation with its node, which may run or not.
type place struct {
	t    *testing.T
	dir  string // with node.toml
	node *city.Node
	n    *app.Node // nil while it does not run
	sent int
}

// found makes an installation whose groupware nobody answers for, so that everything
// waits, and starts its node. more is written into node.toml.
func found(t *testing.T, more string) *place {
	t.Helper()
	p := &place{t: t, dir: filepath.Join(t.TempDir(), "city")}
	var err error
	p.node, err = setup.Create(setup.Options{Dir: p.dir, Domain: "stadt.example", Groupware: "smtp://127.0.0.1:1",
		Listen: "127.0.0.1", DNS: "none", Now: time.Now()})
	must(t, err)
	file := filepath.Join(p.dir, "node.toml")
	text, err := os.ReadFile(file)
	must(t, err)
	text = bytes.Replace(text, []byte("min_free_mb = 1024"), []byte("min_free_mb = 1"), 1)
	must(t, os.WriteFile(file, append(text, more...), 0o600))
	if more != "" {
		must(t, os.WriteFile(filepath.Join(p.node.Keys, "database.password"), []byte(peer.PostgresPassword+"\n"), 0o600))
	}
	p.start()
	_, err = p.client().AddMailbox(t.Context(), control.Mailbox{Address: "anna@stadt.example", Kind: "person", Priority: 5})
	must(t, err)
	return p
}

// at is the place that was restored into a folder.
func at(t *testing.T, dir string) *place { return &place{t: t, dir: dir} }

func (p *place) start() {
	p.t.Helper()
	var err error
	p.node, err = setup.ReadNode(filepath.Join(p.dir, "node.toml"))
	must(p.t, err)
	log := slog.New(slog.NewTextHandler(output{p.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p.n, err = app.New(p.t.Context(), app.Options{Node: p.node, Version: "test", Log: log})
	must(p.t, err)
	p.t.Cleanup(p.stop)
	must(p.t, p.n.Start(p.t.Context()))
}

func (p *place) stop() {
	p.t.Helper()
	if p.n == nil {
		return
	}
	if err := p.n.Stop(context.WithoutCancel(p.t.Context())); err != nil {
		p.t.Errorf("stop the node: %v", err)
	}
	p.n = nil
}

type output struct{ t *testing.T }

func (o output) Write(b []byte) (int, error) {
	fmt.Fprint(o.t.Output(), string(b))
	return len(b), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *place) client() *control.Client { return control.NewClient(p.node.Data, nil) }

// mail sends mails that must be kept.
func (p *place) mail(n, size int) {
	p.t.Helper()
	c, err := send.Dial(p.t.Context(), p.n.Listeners()["mx"])
	must(p.t, err)
	defer c.Close()
	for range n {
		a, err := c.Send(send.Mail{From: address(p.t, "citizen@strange.example"), To: address(p.t, "anna@stadt.example"),
			Subject: "x", Text: strings.Repeat("Guten Tag. ", size/11+1)}, time.Now())
		must(p.t, err)
		if !a.Kept() {
			p.t.Fatalf("a mail was answered %d %s", a.Code, a.Text)
		}
		p.sent++
	}
}

func address(t *testing.T, s string) doppelboden.Address {
	t.Helper()
	a, err := doppelboden.ParseAddress(s)
	must(t, err)
	return a
}

const passphrase = "ein langer Satz als Passwort"

// backUp has the node back itself up, with its keys in clear: sealing them takes a second.
func (p *place) backUp(dir string) {
	p.t.Helper()
	_, err := p.client().Backup(p.t.Context(), control.BackupOrder{Dir: dir, PlainKeys: true})
	must(p.t, err)
}

// verify checks a backup with the keys that are in it.
func (p *place) verify(dir string) *backup.Check {
	p.t.Helper()
	c, err := backup.Verify(p.t.Context(), backup.VerifyOptions{Dir: dir, Passphrase: passphrase, Clock: time.Now,
		Scratch: scratch(p.t, p.node), DSN: app.DSN})
	must(p.t, err)
	return c
}

// restore makes a place of a backup.
func (p *place) restore(dir string) *place {
	p.t.Helper()
	to := filepath.Join(p.t.TempDir(), "elsewhere")
	_, err := backup.Restore(p.t.Context(), backup.RestoreOptions{Backup: dir, Dir: to, Passphrase: passphrase, Clock: time.Now, DSN: app.DSN})
	must(p.t, err)
	again := at(p.t, to)
	again.sent = p.sent
	return again
}

// whole fails unless the place has so many mails, a balance without a difference and a
// ledger that nobody changed, and takes one more.
func (p *place) whole(mails int) {
	p.t.Helper()
	p.accounts(mails)
	r, err := p.client().VerifyLedger(p.t.Context())
	must(p.t, err)
	if !r.OK() {
		p.t.Errorf("the ledger has faults: %+v", r.Findings)
	}
	p.mail(1, 10)
}

// accounts fails unless the place has so many mails and a balance without a difference.
func (p *place) accounts(mails int) {
	p.t.Helper()
	b, err := p.client().Balance(p.t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	must(p.t, err)
	if b.Accepted != int64(mails) || b.Queued != int64(mails) || b.Difference != 0 {
		p.t.Errorf("balance %+v, want %d accepted and queued, difference 0", b, mails)
	}
}

// change lets f change the manifest of a backup, and signs it as the node does.
func (p *place) change(dir string, f func(m *backup.Manifest)) {
	p.t.Helper()
	m, err := backup.ReadManifest(dir)
	must(p.t, err)
	f(m)
	for i := range m.Files {
		data, err := os.ReadFile(filepath.Join(dir, m.Files[i].Path))
		must(p.t, err)
		if m.Files[i].Whole {
			m.Files[i].Size = int64(len(data))
		}
		sum := sha256.Sum256(data[m.Files[i].From:m.Files[i].Size])
		m.Files[i].SHA256 = hex.EncodeToString(sum[:])
	}
	key, err := ledger.LoadKey(filepath.Join(p.node.Keys, "ledger.key"))
	must(p.t, err)
	m.Signature = nil
	text, err := json.MarshalIndent(m, "", " ")
	must(p.t, err)
	m.Signature = ed25519.Sign(key, append(text, '\n'))
	text, err = json.MarshalIndent(m, "", " ")
	must(p.t, err)
	must(p.t, os.WriteFile(filepath.Join(dir, backup.ManifestFile), append(text, '\n'), 0o600))
}

// find returns the path of the first file of a backup whose name holds part.
func find(t *testing.T, dir, part string) string {
	t.Helper()
	m, err := backup.ReadManifest(dir)
	must(t, err)
	for _, f := range m.Files {
		if strings.Contains(f.Path, part) {
			return filepath.Join(dir, f.Path)
		}
	}
	t.Fatalf("the backup has no file %q: %+v", part, m.Files)
	return ""
}
