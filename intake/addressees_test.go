package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"doppelboden"
)

// kept sends a mail to recipients and returns what was kept.
func kept(t *testing.T, to ...string) *doppelboden.Message {
	t.Helper()
	in, f := newIntake(t, 0)
	tx := begin(t, in, to...)
	if _, err := tx.Write([]byte("Subject: x\r\n\r\nx\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f.accepted[0]
}

func TestDeliveriesAreRecipientsPlusExpandedLessMerged(t *testing.T) {
	for _, c := range []struct {
		to         []string
		deliveries string // "mailbox/box recipient state"
		copies     int
		expanded   int
		merged     int
	}{
		{[]string{"anna@stadt.example"}, "10/10 anna@stadt.example queued", 1, 0, 0},
		{[]string{"anna@stadt.example", "annas@stadt.example"}, "10/10 anna@stadt.example queued", 1, 0, 1},
		{[]string{"list@stadt.example"}, "10/10 anna@stadt.example queued, 12/12 here@stadt.example delivered, 0/-3 eva@strange.example queued", 2, 2, 0},
		{[]string{"here@stadt.example", "list@stadt.example"},
			"12/12 here@stadt.example delivered, 10/10 anna@stadt.example queued, 0/-3 eva@strange.example queued", 2, 2, 1},
		{[]string{"list@stadt.example", "annas@stadt.example"},
			"10/10 anna@stadt.example queued, 12/12 here@stadt.example delivered, 0/-3 eva@strange.example queued", 2, 2, 1},
		{[]string{"both@stadt.example"}, "13/13 both@stadt.example queued, 13/-5 both@stadt.example queued", 1, 1, 0},
		{[]string{"whose@stadt.example", "whose@stadt.example"}, "0/0 whose@stadt.example held, 0/0 whose@stadt.example held", 0, 0, 0},
	} {
		m := kept(t, c.to...)
		var got []string
		for _, d := range m.Deliveries {
			got = append(got, fmt.Sprintf("%d/%d %s %s", d.Mailbox, d.Box, d.Recipient, d.State))
		}
		if g := strings.Join(got, ", "); g != c.deliveries {
			t.Errorf("%v: deliveries %s\nwanted %s", c.to, g, c.deliveries)
		}
		if m.Expanded != c.expanded || m.Merged != c.merged || len(m.Copies) != c.copies {
			t.Errorf("%v: expanded %d, merged %d, copies %d; wanted %d, %d, %d", c.to, m.Expanded, m.Merged, len(m.Copies), c.expanded, c.merged, c.copies)
		}
		if len(m.Deliveries) != m.Recipients+m.Expanded-m.Merged {
			t.Errorf("%v: %d deliveries of %d recipients, expanded %d, merged %d", c.to, len(m.Deliveries), m.Recipients, m.Expanded, m.Merged)
		}
		for i, d := range m.Deliveries {
			if d.N != i {
				t.Errorf("%v: delivery %d has N %d", c.to, i, d.N)
			}
		}
	}
}

func TestAMemberOfAListGetsTheListAsTheOriginalRecipient(t *testing.T) {
	m := kept(t, "list@stadt.example")
	if got := m.Deliveries[0].ORcpt; got != "rfc822;list@stadt.example" {
		t.Errorf("ORCPT %q, want the list, so that no stranger learns the member", got)
	}
	if line := string(m.Prefix); !strings.Contains(line, "for <list@stadt.example>") {
		t.Errorf("Received line names not the list:\n%s", line)
	}
	for address, want := range map[string]string{
		`"a b"+c=d@stadt.example`: `rfc822;"a+20b"+2Bc+3Dd@stadt.example`,
		"jörg@stadt.example":      `utf-8;j\x{F6}rg@stadt.example`,
	} {
		a := doppelboden.Address{Local: strings.TrimSuffix(address, "@stadt.example"), Domain: "stadt.example"}
		if address[0] == '"' {
			a.Local = "a b+c=d"
			want = `rfc822;"a+20b+2Bc+3Dd"@stadt.example`
		}
		if got := originalRecipient(a); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestNobodyIsToldOfASuccessForEachMemberOfAList(t *testing.T) {
	for notify, want := range map[string]string{"": "", "SUCCESS": "NEVER", "success,FAILURE": "FAILURE", "DELAY,FAILURE": "DELAY,FAILURE", "NEVER": "NEVER"} {
		var l addressees
		found := Found{Targets: []Target{{Mailbox: 1, Recipient: address(t, "a@stadt.example")}, {Mailbox: 2, Recipient: address(t, "b@stadt.example")}}}
		l.add(Recipient{Address: address(t, "list@stadt.example"), Notify: notify}, found)
		for _, d := range l.deliveries {
			if d.Notify != want {
				t.Errorf("NOTIFY=%s: %q for a member, want %q", notify, d.Notify, want)
			}
		}
		var one addressees
		one.add(Recipient{Address: address(t, "alias@stadt.example"), Notify: notify}, Found{Targets: found.Targets[:1]})
		if got := one.deliveries[0].Notify; got != notify {
			t.Errorf("NOTIFY=%s: %q for the one behind an alias, want it as it came", notify, got)
		}
	}
}

func TestAListWithMoreMembersThanOneMessageMayHaveIsRefused(t *testing.T) {
	in, _ := newIntake(t, 0)
	in.opts.MostDeliveries = 2
	tx, err := in.Begin(Envelope{Door: "mx"})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "list@stadt.example")}); doppelboden.CodeOf(err) != doppelboden.Policy {
		t.Errorf("a list of three: %v, want policy, for no other transaction helps", err)
	}
	for i, want := range []bool{true, false} {
		err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "both@stadt.example")})
		if (err == nil) != want || err != nil && doppelboden.CodeOf(err) != doppelboden.TooManyRecipients {
			t.Errorf("recipient %d: %v, want taken=%v, else too_many_recipients", i, err, want)
		}
	}
}

func TestMembersOutsideAreReachedWhereTheTenantSendsToTheInternet(t *testing.T) {
	outside := func(i func(context.Context, doppelboden.TenantID, string) (doppelboden.BoxID, error)) ([]doppelboden.Delivery, error) {
		in, _ := newIntake(t, 0)
		in.opts.Internet = i
		tx, err := in.Begin(Envelope{Door: "mx"})
		if err != nil {
			t.Fatal(err)
		}
		err = tx.Rcpt(t.Context(), Recipient{Address: address(t, "abroad@stadt.example")})
		return tx.envelope.deliveries, err
	}
	internet := func(_ context.Context, _ doppelboden.TenantID, domain string) (doppelboden.BoxID, error) {
		switch domain {
		case "later.example":
			return 0, errors.New("database busy")
		case "closed.example":
			return 0, &doppelboden.Error{Code: doppelboden.Policy, Public: "not from here"}
		}
		return -7, nil
	}
	if d, err := outside(internet); err != nil || len(d) != 2 || d[0].Box != -7 || d[0].Recipient.String() != "eva@strange.example" || d[1].Box != -7 {
		t.Errorf("two members of one domain: %+v, %v; want two deliveries to box -7", d, err)
	}
	if _, err := outside(nil); doppelboden.CodeOf(err) != doppelboden.Policy {
		t.Errorf("without a way to the Internet: %v, want policy, for nobody would get it", err)
	}
	for domain, want := range map[string]doppelboden.Code{"later.example": doppelboden.Temporary, "closed.example": doppelboden.Policy} {
		_, err := outside(func(ctx context.Context, id doppelboden.TenantID, _ string) (doppelboden.BoxID, error) {
			return internet(ctx, id, domain)
		})
		if err == nil || doppelboden.CodeOf(err) != want {
			t.Errorf("%s: %v, want %v", domain, err, want)
		}
	}
}

func TestASuccessThatSomebodyWantsToHearOfIsLeftToTheQueue(t *testing.T) {
	for notify, want := range map[string]doppelboden.State{
		"": doppelboden.Delivered, "FAILURE": doppelboden.Delivered, "NEVER": doppelboden.Delivered,
		"SUCCESS": doppelboden.Queued, "FAILURE,SUCCESS": doppelboden.Queued,
	} {
		in, f := newIntake(t, 0)
		tx := begin(t, in)
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "here@stadt.example"), Notify: notify}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tx, "Subject: x\r\n\r\nhello\r\n")
		if _, err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := f.accepted[0]; m.Deliveries[0].State != want || len(m.Copies) != 1 {
			t.Errorf("NOTIFY=%s: %v with %d copies, want %v with its copy", notify, m.Deliveries[0].State, len(m.Copies), want)
		}
	}
}
