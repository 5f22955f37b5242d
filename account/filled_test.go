package account

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/harvest"
	"doppelboden/store"
)

// Coverages implements Mailboxes.
func (w *world) Coverages(_ context.Context, t doppelboden.TenantID, boxes []doppelboden.MailboxID, yield func(doppelboden.MailboxID, harvest.Coverage) error) error {
	w.counts++
	whole := harvest.Part{Source: harvest.SourceMX, Since: w.clock()}
	for _, id := range boxes {
		c, said := w.covered[id]
		if !said {
			c = harvest.Coverage{Inbox: whole, Sent: whole, Internal: whole}
		}
		if m, ok := w.directory().Mailbox(id); !ok || m.Tenant != t {
			return fmt.Errorf("asked for the mailbox %d of another city", id)
		}
		if err := yield(id, c); err != nil {
			return err
		}
	}
	return nil
}

// Gaps implements Mailboxes.
func (w *world) Gaps(doppelboden.TenantID) []harvest.Gap { return w.gaps }

// prepared shows how complete the mailboxes of the first city are.
func (w *world) prepared() string {
	w.t.Helper()
	p, err := w.room.Prepared(ctx, 1)
	w.must(err)
	var lines []string
	for _, d := range p.Departments {
		line := fmt.Sprintf("%s %d/%d", d.Department, d.Complete, d.Mailboxes)
		for _, l := range d.Lacks {
			line += fmt.Sprintf(" %s:%s:%d", l.Part, l.Why, l.Mailboxes)
		}
		for _, one := range d.Partly {
			line += " -" + one.Address
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

func TestReadinessCountsHowCompleteMailboxesAreByDepartment(t *testing.T) {
	w := newWorld(t, "")
	if got, want := w.prepared(), "Bauamt 1/1; Bürgerbüro 3/3"; got != want {
		t.Errorf("when all are complete: %s, wanted %s", got, want)
	}
	none := harvest.Part{Source: harvest.SourceNone, Why: harvest.WhyNothing}
	whole := harvest.Part{Source: harvest.SourceMX, Since: w.clock()}
	stale := harvest.Part{Source: harvest.SourceSync, Since: w.clock().Add(-time.Hour), Until: w.clock().Add(-time.Hour), Why: harvest.WhyStale}
	w.covered = map[doppelboden.MailboxID]harvest.Coverage{
		w.boxes["anna@stadt.example"]:         {Inbox: whole, Sent: none, Internal: none},
		w.boxes["bert@stadt.example"]:         {Inbox: stale, Sent: whole, Internal: whole},
		w.boxes["buergerbuero@stadt.example"]: {Inbox: stale, Sent: whole, Internal: whole},
	}
	w.prepared()
	if w.counts != 1 {
		t.Errorf("the mailboxes were counted %d times within a minute, wanted once", w.counts)
	}
	w.forward(time.Minute)
	want := "Bauamt 1/1; Bürgerbüro 0/3 inbox:stale:2 internal:nothing_configured:1 -anna@stadt.example -bert@stadt.example -buergerbuero@stadt.example"
	if got := w.prepared(); got != want {
		t.Errorf("when some are not: %s\nwanted %s", got, want)
	}
	w.gaps = []harvest.Gap{{Route: "exchange", What: harvest.GapMissing}}
	p, err := w.room.Prepared(ctx, 1)
	w.must(err)
	if len(p.Gaps) != 1 || p.Gaps[0] != w.gaps[0] || p.Departments[1].Ready.People != 2 || p.Departments[1].Partly[1].Until.IsZero() {
		t.Errorf("prepared is %+v, wanted the gap, two people, and up to when Bert's inbox is complete", p)
	}
}

func TestADepartmentThatHasOnlyFunctionMailboxesIsCounted(t *testing.T) {
	w := newWorld(t, "")
	added, err := w.store.PutMailboxes(ctx, []doppelboden.Mailbox{w.box(1, "poststelle@stadt.example", "Poststelle", doppelboden.Function, "Allgemeines")})
	w.must(err)
	w.change(added...)
	if got, want := w.prepared(), "Allgemeines 1/1; Bauamt 1/1; Bürgerbüro 3/3"; got != want {
		t.Errorf("got %s, wanted %s", got, want)
	}
}

func TestReadinessNamesMailboxesOfFunctionsThatNobodyMayOpen(t *testing.T) {
	w := newWorld(t, "")
	unowned := func() string {
		p, err := w.room.Prepared(ctx, 1)
		w.must(err)
		for _, d := range p.Departments {
			if d.Functions > 0 {
				return fmt.Sprintf("%s %d/%d %v", d.Department, d.Unowned, d.Functions, len(d.Nobody))
			}
		}
		return "none"
	}
	nobody, somebody := "Bürgerbüro 1/1 1", "Bürgerbüro 0/1 0"
	if got := unowned(); got != nobody {
		t.Errorf("when nobody may open it: %s, want %s", got, nobody)
	}
	box, _ := w.directory().Mailbox(w.boxes["buergerbuero@stadt.example"])
	who := w.person("anna@stadt.example")
	belongs := store.Belonging{Tenant: 1, Mailbox: box.ID, Person: who.Mailbox, Kind: GrantFunction, By: "test", At: w.clock(), Until: w.clock().Add(time.Hour)}
	w.must(w.room.Belong(ctx, []store.Belonging{belongs}))
	if got := unowned(); got != somebody {
		t.Errorf("when Anna may open it for an hour: %s, want %s", got, somebody)
	}
	w.forward(2 * time.Hour)
	if got := unowned(); got != nobody {
		t.Errorf("when that is over: %s, want %s", got, nobody)
	}
	box.Members = []doppelboden.Address{who.Address}
	w.change(box)
	if got := unowned(); got != somebody {
		t.Errorf("when the directory names Anna: %s, want %s", got, somebody)
	}
	w.leave("anna@stadt.example")
	if got := unowned(); got != nobody {
		t.Errorf("when Anna has left: %s, want %s", got, nobody)
	}
}
