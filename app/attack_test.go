package app

import (
	"slices"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/control"
)

func TestInAttackModeMailIsTakenAndTheOwnSystemsGetAndGiveNothingUntilSomebodyOpensEachWay(t *testing.T) {
	groupware := playing(t, "")
	node := install(t, "lmtp://"+groupware.Addr())
	addToCity(t, node, "\n[[tenant.sender]]\nname = \"groupware\"\nnetworks = [\"127.0.0.1\"]\n")
	n := start(t, node)
	client := control.NewClient(node.Data, nil)
	for _, one := range []control.Mailbox{anna, {Address: "berta@stadt.example", Kind: "person", Priority: 5}} {
		if _, err := client.AddMailbox(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	own := func() string {
		return sayTo(t, n.Listeners()["submission"], "<anna@stadt.example>", "<anna@stadt.example>")
	}
	if got := own(); got[0] != '2' {
		t.Fatalf("before the attack the submission says %s", got)
	}
	waitFor(t, "the first mail is handed over", func() bool { return len(groupware.Messages()) == 1 })
	if n.inCrisis() {
		t.Error("before the attack retention rests")
	}

	a, err := client.OpenAttack(t.Context(), control.Attack{Why: "an encrypted file server"})
	if err != nil || len(a.Shut) != 4 {
		t.Fatalf("attack mode: %+v, %v", a, err)
	}
	if again, err := client.OpenAttack(t.Context(), control.Attack{}); err != nil || again.Event.Number != a.Event.Number {
		t.Errorf("repeated: %+v, %v; want the same event", again, err)
	}
	if got := own(); !strings.HasPrefix(got, "450") {
		t.Errorf("an own sender is told %s, want 450", got)
	}
	if answer := mail(t, n, anna.Address); !answer.Kept() {
		t.Errorf("a stranger's mail was answered with %+v", answer)
	}
	if text := openAlarms(t, n)["outage"]; !strings.Contains(text, "Attack mode of stadt") {
		t.Errorf("the alarm says %q", text)
	}
	box, _ := n.house.Directory().Holder(parse(t, anna.Address))
	if number, _, in := n.events.InOutage(box); !in || number != a.Event.Number || !slices.Contains(n.spared(), box) {
		t.Errorf("her mailbox is in event %d (%v) and spared by retention: %v; want event %d and true", number, in, slices.Contains(n.spared(), box), a.Event.Number)
	}
	waitFor(t, "all emergency mailboxes are open", func() bool { return len(n.modes.All()) == n.house.Directory().Len() })
	if !n.inCrisis() {
		t.Error("all mailboxes are in the attack and retention does not rest")
	}
	ref := control.EventRef{Number: a.Event.Number}
	if _, err := client.CloseEvent(t.Context(), control.EventWord{EventRef: ref}); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("closed while ways are shut: %v, want invalid", err)
	}
	// It lasts over a restart.
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = start(t, node)
	client = control.NewClient(node.Data, nil)
	if got := own(); !strings.HasPrefix(got, "450") || len(groupware.Messages()) != 1 {
		t.Errorf("after a restart an own sender is told %s, and the groupware has %d mails", got, len(groupware.Messages()))
	}

	for i, way := range a.Shut {
		got, err := client.ReleaseWay(t.Context(), control.Release{EventRef: ref, Way: way})
		if err != nil || len(got.Shut) != len(a.Shut)-i-1 {
			t.Fatalf("release of %s: %+v, %v", way, got, err)
		}
		if _, err := client.ReleaseWay(t.Context(), control.Release{EventRef: ref, Way: way}); err == nil {
			t.Errorf("%s was opened twice", way)
		}
	}
	waitFor(t, "what waited is handed over", func() bool { return len(groupware.Messages()) == 2 })
	if got := own(); got[0] != '2' {
		t.Errorf("afterwards an own sender is told %s", got)
	}
	if _, err := client.CloseEvent(t.Context(), control.EventWord{EventRef: ref}); err != nil {
		t.Errorf("close: %v", err)
	}
	if here := len(n.modes.All()); len(n.events.Outages()) != 0 || !n.inCrisis() {
		t.Errorf("in the attack are %d, %d mailboxes are still used here, and retention does not rest", len(n.events.Outages()), here)
	}
	if b := balance(t, n); b.Difference != 0 {
		t.Errorf("the balance has a difference of %d: %+v", b.Difference, b.Findings)
	}
}
