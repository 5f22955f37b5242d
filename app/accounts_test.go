package app

import (
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/control"
)

func TestANodeTellsItsPeopleByMailAndKeepsThemThroughAChangeOfKeys(t *testing.T) {
	n, client := startReaders(t, "anna", "bert")
	var code string
	err := client.Codes(t.Context(), control.CodesAsked{Whom: control.Whom{Person: []string{"anna@stadt.example"}}}, func(s control.Sheet) error {
		code = s.Code
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The code's sum is under a key that the tenant's key seals.
	tenant, _ := n.house.Directory().TenantNamed("stadt")
	if _, err := client.RotateKey(t.Context(), "stadt"); err != nil {
		t.Fatal(err)
	}
	in, err := n.accounts.LogIn(t.Context(), account.Attempt{Door: account.DoorWeb, Password: code})
	if err != nil || in.Needs != account.NeedsEnrol {
		t.Fatalf("with a code from before the change of keys: %+v, %v", in, err)
	}
	err = n.tellPerson(t.Context(), account.Notice{Tenant: tenant, To: parse(t, "bert@stadt.example"), Subject: "Bitte üben", Text: "Grüße\n.\nund mehr\n"})
	if err != nil {
		t.Fatal(err)
	}
	caught(t, n)
	var found bool
	err = n.store.Copies(t.Context(), tenant, boxOf(t, n, "bert@stadt.example"), func(c doppelboden.Copy) error {
		found = true
		return nil
	})
	if err != nil || !found {
		t.Errorf("the notice lies in no mailbox: %v", err)
	}
	if b := balance(t, n); b.Difference != 0 || b.Generated != 1 {
		t.Errorf("the balance: difference %d, generated %d, wanted 0 and 1", b.Difference, b.Generated)
	}
}

func TestDoorsThatAreClosedOpenByCommandAndInAnAttack(t *testing.T) {
	n, client := startReaders(t, "anna")
	tenant, _ := n.house.Directory().TenantNamed("stadt")
	text := strings.Replace(string(copyOf(t, n.opts.Node.City)), "[[tenant.route]]", "[tenant.accounts]\nopen = \"events\"\n\n[[tenant.route]]", 1)
	if _, err := client.ApplyConfig(t.Context(), "city.toml", []byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if n.accounts.Open(tenant, account.DoorIMAP) {
		t.Error("outside events the door is open")
	}
	if err := client.OpenDoors(t.Context(), control.Doors{Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if !n.accounts.Open(tenant, account.DoorIMAP) {
		t.Error("a command has opened the doors, and they are closed")
	}
	if err := client.OpenDoors(t.Context(), control.Doors{Until: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.OpenAttack(t.Context(), control.Attack{}); err != nil {
		t.Fatal(err)
	}
	if !n.accounts.Open(tenant, account.DoorWeb) {
		t.Error("in an event the door is closed")
	}
	if distrusted, err := n.accounts.Distrusted(t.Context(), tenant); err != nil || !distrusted {
		t.Errorf("in attack mode the directory is believed: %v", err)
	}
}
