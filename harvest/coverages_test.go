package harvest

import (
	"reflect"
	"testing"
	"time"

	"doppelboden"
)

// coverages asks for several mailboxes at once.
func (w *world) coverages(ids ...doppelboden.MailboxID) (got []Coverage) {
	w.t.Helper()
	w.must(w.room.Coverages(ctx, w.tenant.ID, ids, func(_ doppelboden.MailboxID, c Coverage) error {
		got = append(got, c)
		return nil
	}))
	return got
}

func TestAllMailboxesTogetherAreCoveredAsEachAlone(t *testing.T) {
	w, _ := filled(t, 2)
	w.arrive("mx", "eva@example.org", letter("eva", "anna", "A", w.clock()), "anna@stadt.example")
	compare := func(what string) {
		t.Helper()
		var ids []doppelboden.MailboxID
		var want []Coverage
		for _, b := range w.boxes {
			c, err := w.room.Coverage(ctx, b.Tenant, b.ID)
			w.must(err)
			ids, want = append(ids, b.ID), append(want, c)
		}
		if got := w.coverages(append(ids, 99999)...); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: together %+v\nalone %+v", what, got, want)
		}
	}
	compare("some are read")
	w.held = "outage"
	compare("the route is held")
	w.route.Backend = nil
	compare("nothing is read")
	w.route.Here = true
	compare("they lie here")
}

func TestAMailboxWantsWhatIsProvedLeast(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	whole := Part{Source: SourceMX, Since: now.Add(-time.Hour)}
	fresh := Part{Source: SourceSync, Since: now.Add(-time.Hour), Until: now.Add(-5 * time.Minute), Why: WhyRounds}
	old := Part{Source: SourceSync, Since: now.Add(-time.Hour), Until: now.Add(-20 * time.Minute), Why: WhyStale}
	none := Part{Source: SourceNone, Why: WhyNothing}
	for _, one := range []struct {
		c    Coverage
		part string
		why  string
	}{
		{Coverage{Inbox: whole, Sent: fresh, Internal: fresh, Folders: none}, "", ""},
		{Coverage{Inbox: whole, Sent: old, Internal: fresh}, PartSent, WhyStale},
		{Coverage{Inbox: old, Sent: old, Internal: none}, PartInternal, WhyNothing},
		{Coverage{Inbox: whole, Sent: Part{Why: WhyPart}, Internal: none}, PartInternal, WhyNothing},
		{Coverage{Inbox: Part{Why: WhyNew}, Sent: none, Internal: none}, PartInbox, WhyNew},
	} {
		part, p, is := one.c.Wanting(now)
		if part != one.part || p.Why != one.why || is != (one.part == "") {
			t.Errorf("%+v wants %q because of %q (whole: %v), wanted %q, %q", one.c, part, p.Why, is, one.part, one.why)
		}
	}
}

func TestAGapIsNamedWhereMailBetweenColleaguesNeitherPassesUsNorIsReported(t *testing.T) {
	w := open(t)
	w.route.Key = "stadt/exchange"
	for _, one := range []struct {
		route Route
		want  []Gap
	}{
		{Route{}, []Gap{{"exchange", GapMissing}}},
		{Route{Backend: newFake()}, []Gap{{"exchange", GapLate}}},
		{Route{Hairpin: true}, nil},
		{Route{Journal: true, Backend: newFake()}, nil},
		{Route{Here: true}, nil},
	} {
		one.route.Key, one.route.Tenant = w.route.Key, w.tenant.ID
		w.route = one.route
		if got := w.room.Gaps(w.tenant.ID); !reflect.DeepEqual(got, one.want) {
			t.Errorf("%+v has the gaps %v, wanted %v", one.route, got, one.want)
		}
	}
	if got := w.room.Gaps(w.tenant.ID + 1); got != nil {
		t.Errorf("another city has the gaps %v, wanted none", got)
	}
}
