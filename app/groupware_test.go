package app

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/store"
	"doppelboden/test/peer"
)

func TestConfigApplyTakesOverWhoSignsAGroupwaresCertificate(t *testing.T) {
	node := install(t, "lmtp://127.0.0.1:1")
	ca, key := filepath.Join(node.Keys, "imap.pem"), filepath.Join(t.TempDir(), "key.pem")
	renewed := func() {
		t.Helper()
		if err := peer.WriteCertificate(ca, key, "127.0.0.1"); err != nil {
			t.Fatal(err)
		}
	}
	renewed()
	addToCity(t, node, "\n[tenant.route.imap]\nserver = \"imaps://127.0.0.1:1\"\nca_file = \"imap.pem\"\nuser = \"x\"\nseparator = \"*\"\npassword_file = \"p\"\nreadback = \"off\"\n")
	n := start(t, node)
	backend := func() any {
		t.Helper()
		for _, route := range n.house.Directory().City().Tenants[0].Routes {
			if w, ok := n.groupwares.of(route.Key()); ok {
				return w.backend
			}
		}
		t.Fatal("there is no way into the mailboxes")
		return nil
	}
	apply := func() error {
		text, err := os.ReadFile(node.City)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client(n).ApplyConfig(t.Context(), "city.toml", text, 0)
		return err
	}
	first := backend()
	if err := apply(); err != nil || backend() != first {
		t.Errorf("config apply with the files as before: %v, the same way %v; want that it stays", err, backend() == first)
	}
	renewed()
	if err := apply(); err != nil || backend() == first {
		t.Errorf("config apply after the file was replaced: %v, the same way %v; want another, which trusts the new one", err, backend() == first)
	}
	second := backend()
	if err := os.WriteFile(ca, []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := apply(); doppelboden.CodeOf(err) != doppelboden.Invalid || backend() != second {
		t.Errorf("config apply with a broken file: %v, the same way %v; want that it is refused, and the old one stays", err, backend() == second)
	}
	if _, err := client(n).AddMailbox(t.Context(), anna); err != nil {
		t.Errorf("a mailbox cannot be added while that file is broken: %v", err)
	}
}

// TestABrokenFileOfASenderStandsInTheWayOfNoMailboxAndNoDecision turns red when each change of
// the house depends on the files of the configuration.
func TestABrokenFileOfASenderStandsInTheWayOfNoMailboxAndNoDecision(t *testing.T) {
	node := install(t, "here")
	addToCity(t, node, fmt.Sprintf("\n[[tenant.sender]]\nname = \"amt\"\nuser = \"amt\"\npassword_file = %q\n", "gone.password"))
	n := start(t, node)
	if n.own.trouble() == "" {
		t.Fatal("the sender's file is not missed")
	}
	if _, err := client(n).AddMailbox(t.Context(), anna); err != nil {
		t.Errorf("a mailbox is added: %v", err)
	}
	if _, err := client(n).ChangeStanding(t.Context(), control.StandingChange{Tenant: "stadt", State: store.TenantPaused, Why: "x"}); err != nil {
		t.Errorf("the tenant is paused: %v", err)
	}
}
