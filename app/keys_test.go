package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/keyring"
	"doppelboden/send"
	"doppelboden/sink"
)

// halt stops a node; the stop at the end of the test then has nothing left to do.
func halt(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Stop(t.Context()); err != nil {
		t.Fatalf("stop the node: %v", err)
	}
}

// copyOf returns the bytes of a file.
func copyOf(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// put writes a key file.
func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// notes returns the ledger's notes about keys, oldest first, without who made them.
func notes(t *testing.T, n *Node) []string {
	t.Helper()
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(control.NewClient(n.opts.Node.Data, nil).ExportLedger(t.Context(), time.Time{}, time.Time{}, w))
	}()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("export the ledger: %v", err)
	}
	var found []string
	for part := range strings.SplitSeq(string(text), `"note":"`) {
		if what, _, ok := strings.Cut(part, " changed by "); ok && strings.Contains(what, "key") {
			found = append(found, what)
		}
	}
	return found
}

// wrapped returns the versions of the tenant's key that wrap the bodies of messages.
func wrapped(t *testing.T, n *Node, answers []send.Answer) []int {
	t.Helper()
	var versions []int
	for _, a := range answers {
		m := messageOf(t, n, a)
		versions = append(versions, m.Body.KeyVersion)
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

func messageOf(t *testing.T, n *Node, a send.Answer) *doppelboden.Message {
	t.Helper()
	id, err := view{n.store, n.landing}.ByReceipt(t.Context(), a.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	m, err := n.store.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// masters returns the versions of the master key that wrap tenants' keys.
func masters(t *testing.T, n *Node) []int {
	t.Helper()
	rows, err := n.store.TenantKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var versions []int
	for _, r := range rows {
		versions = append(versions, r.MasterVersion)
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

// opens reports whether a node can be opened, without starting it.
func opens(t *testing.T, node *city.Node) error {
	t.Helper()
	n, err := New(t.Context(), Options{Node: node, Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		halt(t, n)
	}
	return err
}

// waiting starts a node whose groupware is down, and has it take mails.
func waiting(t *testing.T, mails int) (node *city.Node, n *Node, groupware string, kept []send.Answer) {
	t.Helper()
	groupware = freeAddr(t)
	node = install(t, "smtp://"+groupware)
	n = start(t, node)
	if _, err := control.NewClient(node.Data, nil).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	for range mails {
		a := mail(t, n, "anna@stadt.example")
		if !a.Kept() {
			t.Fatalf("mail to anna: %d %s", a.Code, a.Text)
		}
		kept = append(kept, a)
	}
	return node, n, groupware, kept
}

func TestMailIsReadAndHandedOverAfterBothKeysWereChanged(t *testing.T) {
	node, n, groupware, kept := waiting(t, 12)
	client := control.NewClient(node.Data, nil)
	before := messageOf(t, n, kept[0]).Body
	oldMaster := copyOf(t, n.masterPath())

	got, err := client.RotateKey(t.Context(), "stadt")
	if err != nil || got.Version != 2 || got.Rewraps != 12 {
		t.Fatalf("rotate the tenant's key: %+v, %v; want version 2 and 12 keys wrapped again", got, err)
	}
	kept = append(kept, mail(t, n, "anna@stadt.example"))
	if v := wrapped(t, n, kept); !slices.Equal(v, []int{2}) {
		t.Errorf("bodies are wrapped with versions %v, want 2 alone", v)
	}
	after := messageOf(t, n, kept[0]).Body
	if after.Segment != before.Segment || after.Offset != before.Offset {
		t.Errorf("the body was written again: it lay in %s at %d, and now in %s at %d", before.Segment, before.Offset, after.Segment, after.Offset)
	}
	master, err := client.RotateMaster(t.Context())
	if err != nil || master.Version != 2 || master.Resumed {
		t.Fatalf("rotate the master key: %+v, %v; want version 2", master, err)
	}
	if v := masters(t, n); !slices.Equal(v, []int{2}) {
		t.Errorf("tenants' keys are wrapped with versions %v of the master key, want 2 alone", v)
	}
	if got, want := notes(t, n), []string{"key of tenant stadt", "master key"}; !slices.Equal(got, want) {
		t.Errorf("the ledger notes %q, want %q", got, want)
	}
	halt(t, n)

	newMaster := copyOf(t, n.masterPath())
	put(t, n.masterPath(), oldMaster)
	if err := opens(t, node); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("with the old master key: %v, want that it opens nothing", err)
	}
	put(t, n.masterPath(), newMaster)
	n = start(t, node)
	readAll(t, n, kept)
	// The old version of the tenant's key goes once its grace is over.
	if err := n.ring.Finish(t.Context(), keyring.Rotation{Guard: &n.moving}); err != nil {
		t.Fatal(err)
	}
	halt(t, n)
	n = start(t, node)
	readAll(t, n, kept)
	keys, err := n.vault.Keys(t.Context())
	if err != nil || len(keys) != 2 || keys[1].Version != 2 || !keys[1].Current {
		t.Errorf("keys %+v, %v; want the master key and version 2 of the tenant's", keys, err)
	}
	gw, err := sink.Start(sink.Options{Listen: groupware})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	waitFor(t, "all are delivered", func() bool { return balance(t, n).Delivered == 13 })
	if b := balance(t, n); b.Difference != 0 {
		t.Errorf("balance %+v", b)
	}
}

// readAll reads the bodies of messages.
func readAll(t *testing.T, n *Node, kept []send.Answer) {
	t.Helper()
	for _, a := range kept {
		m := messageOf(t, n, a)
		r, err := n.bodies.Reader(m.Tenant, m.Body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		r.Close()
		if err != nil || !strings.Contains(string(text), "hello") {
			t.Errorf("body of %v: %q, %v", m.ID, text, err)
		}
	}
}

// A change of the master key is stopped after each of its steps, as a crash would; the
// node must start and read, and the next call must end what was begun.
func TestAChangeOfTheMasterKeyGoesOnAfterACrashAtAnyPoint(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  func(t *testing.T, n *Node) // the steps that were done
		version int                         // after the next call
		resumed bool
		notes   int
	}{
		{"before the first step", func(*testing.T, *Node) {}, 2, false, 1},
		{"after the new key was written", func(t *testing.T, n *Node) {
			if err := keyring.AddMaster(n.masterPath()); err != nil {
				t.Fatal(err)
			}
		}, 2, true, 1},
		{"after the tenants' keys were wrapped", func(t *testing.T, n *Node) {
			if err := keyring.AddMaster(n.masterPath()); err != nil {
				t.Fatal(err)
			}
			if _, err := n.vault.useMaster(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, 2, true, 1},
		{"after the note", func(t *testing.T, n *Node) {
			if err := keyring.AddMaster(n.masterPath()); err != nil {
				t.Fatal(err)
			}
			if _, err := n.vault.useMaster(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := n.vault.note(t.Context(), "anna", "master key"); err != nil {
				t.Fatal(err)
			}
		}, 2, true, 2},
		{"after all", func(t *testing.T, n *Node) {
			if _, err := n.vault.RotateMaster(t.Context(), "anna"); err != nil {
				t.Fatal(err)
			}
		}, 3, false, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			node, n, _, kept := waiting(t, 2)
			c.before(t, n)
			halt(t, n)
			n = start(t, node)
			readAll(t, n, kept)
			got, err := control.NewClient(node.Data, nil).RotateMaster(t.Context())
			if err != nil || got.Version != c.version || got.Resumed != c.resumed {
				t.Fatalf("the next call: %+v, %v; want version %d, resumed %v", got, err, c.version, c.resumed)
			}
			master, err := keyring.LoadMaster(n.masterPath())
			if err != nil || !slices.Equal(master.Versions(), []int{c.version}) {
				t.Errorf("the file holds versions %v, %v; want %d alone", master.Versions(), err, c.version)
			}
			if v := masters(t, n); !slices.Equal(v, []int{c.version}) {
				t.Errorf("tenants' keys are wrapped with versions %v, want %d alone", v, c.version)
			}
			if got := notes(t, n); len(got) != c.notes {
				t.Errorf("the ledger notes %q, want %d notes", got, c.notes)
			}
			halt(t, n)
			readAll(t, start(t, node), kept)
		})
	}
}

func TestAMasterFileThatDoesNotOpenTheKeysIsNotTouched(t *testing.T) {
	_, n, _, kept := waiting(t, 1)
	good := copyOf(t, n.masterPath())
	other := n.masterPath() + ".other"
	if err := keyring.NewMaster(other); err != nil {
		t.Fatal(err)
	}
	foreign := copyOf(t, other)
	put(t, n.masterPath(), foreign)
	if _, err := n.vault.RotateMaster(t.Context(), "anna"); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("with a foreign file: %v, want code invalid", err)
	}
	if got := copyOf(t, n.masterPath()); string(got) != string(foreign) {
		t.Error("the foreign file was changed")
	}
	if got := notes(t, n); len(got) != 0 {
		t.Errorf("the ledger notes %q, but nothing was changed", got)
	}
	put(t, n.masterPath(), good)
	if _, err := n.vault.RotateMaster(t.Context(), "anna"); err != nil {
		t.Errorf("with the right file again: %v", err)
	}
	readAll(t, n, kept)
}

func TestWhoLeavesDuringAChangeOfKeysDoesNotStopIt(t *testing.T) {
	_, n, _, kept := waiting(t, 3)
	tenant, _ := n.house.Directory().TenantNamed("stadt")
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := n.vault.Rotate(gone, doppelboden.Tenant{ID: tenant, Name: "stadt"}, "anna", func(int64) {})
	if err != nil && !errors.Is(err, context.Canceled) { // nil: the change was quicker
		t.Fatal(err)
	}
	waitFor(t, "all bodies are wrapped with the new key", func() bool { return slices.Equal(wrapped(t, n, kept), []int{2}) })
	if got := notes(t, n); !slices.Equal(got, []string{"key of tenant stadt"}) {
		t.Errorf("the ledger notes %q, want the change", got)
	}
	readAll(t, n, kept)
}
