package search

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/keyring"
	"doppelboden/letter"
	"doppelboden/store"
)

// fill gives anna a mailbox that tests look through.
func (w *town) fill() store.Place {
	w.accept(mail("Jürgen Müller <j.mueller@buerger.example>", "anna@stadt.example", "Bauantragsformular", "Sehr geehrte Frau Anna, hier der Plan der Straße."), w.anna, w.bert)
	w.accept(mail("Erika Muster <e@firma.example>", "anna@stadt.example, Bauamt <bau@stadt.example>", "Rechnung Nr. 4711", "Die Frist endet zum 1. Mai. Grüße"), w.anna)
	w.accept(withFile("Bescheid", "Lageplan Rathaus.pdf"), w.anna)
	w.accept(mail("=?utf-8?q?B=C3=BCrgerb=C3=BCro?= <bb@stadt.example>", "anna@stadt.example", "=?utf-8?q?=C3=96ffnungszeiten?=", "Ab Montag gilt: Antrag nur online."), w.anna)
	return w.inbox(w.anna)
}

func TestPeopleFindTheirMail(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { peopleFind(newTown(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { peopleFind(newTownOnPostgres(t)) })
}

func peopleFind(w *town) {
	t := w.t
	at := w.fill()
	check := func(when string) {
		t.Helper()
		for q, want := range map[string]string{
			"antrag":                      "Öffnungszeiten | Bauantragsformular",
			`"antrag"`:                    "Öffnungszeiten",
			`„Antrag nur online“`:         "Öffnungszeiten",
			"ANTRAG mueller":              "Bauantragsformular",
			"müller":                      "Bauantragsformular",
			"muller strasse":              "Bauantragsformular",
			"von:muster":                  "Rechnung Nr. 4711",
			"from:firma.example":          "Rechnung Nr. 4711",
			"an:bauamt":                   "Rechnung Nr. 4711",
			"betreff:4711":                "Rechnung Nr. 4711",
			"betreff:frist":               "",
			"subject:oeffnung":            "Öffnungszeiten",
			"hat:anhang":                  "Bescheid",
			"has:attachment lageplan":     "Bescheid",
			"rathaus":                     "Bescheid",
			`"frist endet zum 1. mai"`:    "Rechnung Nr. 4711",
			"grüsse":                      "Rechnung Nr. 4711",
			"nirgends":                    "",
			"":                            "Öffnungszeiten | Bescheid | Rechnung Nr. 4711 | Bauantragsformular",
			"seit:heute":                  "Öffnungszeiten | Bescheid | Rechnung Nr. 4711 | Bauantragsformular",
			"vor:heute":                   "",
			"bis:heute von:bürgerbüro":    "Öffnungszeiten",
			"ist:ungelesen antrag":        "Öffnungszeiten | Bauantragsformular",
			"is:read":                     "",
			"received":                    "", // what mail systems say to each other is no text
			"seit:ostern":                 "",
			`von:"jürgen müller" anhang:`: "",
		} {
			if got := w.find(q, at); got != want {
				t.Errorf("%s: %s: got %q, wanted %q", when, q, got, want)
			}
		}
	}
	check("without extracts")
	w.extractAll()
	check("with extracts")
}

func TestWhatTheWorkerHasReadIsNotReadAgain(t *testing.T) {
	w := newTown(t)
	at := w.fill()
	counting := &countingBodies{Bodies: w.bodies}
	w.room.opts.Bodies = counting
	w.extractAll()
	if counting.opened != 4 {
		t.Errorf("the worker opened %d bodies, wanted each of the 4 once", counting.opened)
	}
	w.find("antrag", at)
	if counting.opened != 4 {
		t.Errorf("a search opened %d bodies", counting.opened-4)
	}
	w.accept(mail("a@b.example", "anna@stadt.example", "neu", "antrag"), w.anna)
	at = w.inbox(w.anna)
	for range 2 {
		if got := w.find("neu", at); got != "neu" || counting.opened != 5 {
			t.Errorf("found %q, and %d bodies were opened; wanted the new one read once", got, counting.opened-4)
		}
	}
}

func TestNobodyFindsMailOfOthers(t *testing.T) {
	w := newTown(t)
	w.fill()
	foreign := w.accept(mail("x@y.example", "carl@kreis.example", "Geheim", "antrag"), w.carl)
	w.extractAll()
	if got := w.find("antrag", w.inbox(w.bert)); got != "Bauantragsformular" {
		t.Errorf("bert finds %q", got)
	}
	if got := w.find("antrag", store.Place{Tenant: w.anna.Tenant, Mailbox: w.carl.ID, Folder: 1}); got != "" {
		t.Errorf("with the wrong tenant %q is found", got)
	}
	sums, err := w.room.Summaries(ctx, w.anna.Tenant, []doppelboden.ID{foreign})
	if err != nil || len(sums) != 0 {
		t.Errorf("another tenant's summary: %v, %v", sums, err)
	}
	err = w.room.Holds(ctx, w.anna.Tenant, []doppelboden.ID{foreign}, []Probe{{Field: "x-other", Value: ""}, {Field: AnyText, Value: "geheim"}}, func(id doppelboden.ID, has []bool) error {
		t.Errorf("another tenant's mail was probed: %v %v", id, has)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFlagsAndFoldersNarrowASearch(t *testing.T) {
	w := newTown(t)
	at := w.fill()
	f, err := w.db.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: at.Tenant, Mailbox: at.Mailbox}, Name: "Akten"})
	w.must(err)
	_, err = w.db.Change(ctx, []store.Change{
		{Place: at, Action: store.ActFlag, UIDs: []uint32{1}, Set: doppelboden.Seen | doppelboden.Flagged, At: w.clock()},
		{Place: at, Action: store.ActMove, UIDs: []uint32{3}, To: f.Folder, At: w.clock()},
	})
	w.must(err)
	for q, want := range map[string]string{
		"ist:gelesen": "Bauantragsformular", "ist:markiert": "Bauantragsformular", "ist:ungelesen": "Öffnungszeiten | Bescheid | Rechnung Nr. 4711",
		"a": "Öffnungszeiten | Bescheid | Rechnung Nr. 4711 | Bauantragsformular",
	} {
		if got := w.find(q, at, f.Place); got != want {
			t.Errorf("%s in two folders: got %q, wanted %q", q, got, want)
		}
	}
	if got := w.find("a", f.Place); got != "Bescheid" {
		t.Errorf("in the other folder: got %q", got)
	}
	q := ParseQuery("", w.clock())
	q.Limit = 2
	n := 0
	w.must(w.room.Search(ctx, []store.Place{at}, q, func(Hit) error { n++; return nil }))
	if n != 2 {
		t.Errorf("a limit of 2 gave %d", n)
	}
	q.Limit = 0
	broken := fmt.Errorf("the reader left")
	if err := w.room.Search(ctx, []store.Place{at}, q, func(Hit) error { return broken }); err != broken {
		t.Errorf("the error of yield came back as %v", err)
	}
}

func TestMailThatWaitsForScannersIsNotFound(t *testing.T) {
	w := newTown(t)
	for _, s := range []doppelboden.ScanState{doppelboden.Unscanned, doppelboden.Malware, doppelboden.Clean, doppelboden.Waived} {
		m := w.message(mail("a@b.example", "anna@stadt.example", s.String(), "antrag"), w.anna)
		m.Scan = s
		_, err := w.db.Accept(ctx, m)
		w.must(err)
	}
	if got := w.find("antrag", w.inbox(w.anna)); got != "waived | clean" {
		t.Errorf("found %q", got)
	}
}

func TestSummariesAreThoseOfTheMailWhoeverMadeThem(t *testing.T) {
	w := newTown(t)
	text := "Date: Mon, 23 Nov 2026 09:12:00 +0100\r\nMessage-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\nReferences: <0@x> <1@x>\r\nCc: c@d.example"
	id := w.accept(mail("Jürgen <j@x.example>", "a@stadt.example, B <b@stadt.example>", "Re: Plan", "Hallo", text), w.anna)
	odd := w.accept("no header at all", w.anna)
	want, err := letter.Parse(strings.NewReader(mail("Jürgen <j@x.example>", "a@stadt.example, B <b@stadt.example>", "Re: Plan", "Hallo", text)), letter.Limits{})
	w.must(err)
	for _, when := range []string{"read now", "kept then"} {
		got, err := w.room.Summaries(ctx, w.anna.Tenant, []doppelboden.ID{id, odd, {1, 2, 3}})
		w.must(err)
		if len(got) != 2 {
			t.Errorf("%s: got %d summaries, wanted 2", when, len(got))
		}
		g, s := got[id], want.Summary()
		if !g.Date.Equal(s.Date) || g.Date.Format(time.RFC3339) != s.Date.Format(time.RFC3339) {
			t.Errorf("%s: date %v, wanted %v", when, g.Date, s.Date)
		}
		g.Date, s.Date = time.Time{}, time.Time{}
		if !reflect.DeepEqual(g, s) {
			t.Errorf("%s: got %+v, wanted %+v", when, g, s)
		}
	}
}

func TestNothingOfAMailLiesReadableInTheDatabase(t *testing.T) {
	w := newTown(t)
	at := w.fill()
	w.extractAll()
	w.find("antrag", at)
	w.must(w.db.Close())
	files, err := filepath.Glob(filepath.Join(w.dir, "node.db*"))
	w.must(err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		w.must(err)
		for _, secret := range []string{"bauantrag", "muster", "lageplan", "4711", "erika"} {
			if holdsText(b, secret) {
				t.Errorf("%s holds %q", f, secret)
			}
		}
	}
}

func TestExtractsOutliveAChangeOfTheTenantsKeyAndDieWithTheBodysKey(t *testing.T) {
	w := newTown(t)
	at := w.fill()
	w.extractAll()
	before := w.find("antrag", at)
	counting := &countingBodies{Bodies: w.bodies}
	w.room.opts.Bodies = counting
	_, err := w.ring.Rotate(ctx, w.anna.Tenant)
	w.must(err)
	w.must(w.ring.Finish(ctx, keyring.Rotation{}))
	if got := w.ring.Versions(w.anna.Tenant); !slices.Equal(got, []int{2}) {
		t.Fatalf("versions %v, wanted the new one alone", got)
	}
	if got := w.find("antrag", at); got != before || counting.opened > 0 {
		t.Errorf("after the change of keys: found %q and read %d mails, wanted %q from the extracts", got, counting.opened, before)
	}
	bodies, err := w.db.Bodies(ctx, w.anna.Tenant, 2, 100)
	w.must(err)
	for i := range bodies { // as if the keys were gone
		bodies[i].Body.Key = make([]byte, len(bodies[i].Body.Key))
	}
	w.must(w.db.Rewrap(ctx, bodies))
	if got := w.find("antrag", at); got != "" {
		t.Errorf("without the keys %q is found", got)
	}
}

func TestAnExtractThatWasSwappedOrDamagedIsMadeAgain(t *testing.T) {
	w := newTown(t)
	at := w.fill()
	w.extractAll()
	var shown []store.Shown
	w.must(w.db.Shown(ctx, at, store.ShownFilter{}, func(s store.Shown) error { shown = append(shown, s); return nil }))
	var kept []store.Extracted
	w.must(w.db.Extracts(ctx, at.Tenant, []doppelboden.ID{shown[0].Message, shown[1].Message}, store.TakeSummary|store.TakeText, func(e store.Extracted) error {
		kept = append(kept, e)
		return nil
	}))
	w.must(w.db.PutExtracts(ctx, []store.Extract{
		{Message: kept[0].Message, Format: format, Summary: kept[1].Summary, Text: kept[1].Text},
		{Message: kept[1].Message, Format: format, Summary: kept[1].Text, Text: kept[1].Text[:20]},
		{Message: shown[2].Message, Format: format, Summary: []byte{0}, Text: []byte{1}},
	}))
	for range 2 {
		if got := w.find("", at); got != "Öffnungszeiten | Bescheid | Rechnung Nr. 4711 | Bauantragsformular" {
			t.Errorf("the list is %q", got)
		}
		if got := w.find("antrag", at); got != "Öffnungszeiten | Bauantragsformular" {
			t.Errorf("found %q", got)
		}
	}
}

func TestIMAPsProbesAreAnsweredAsTheRFCSays(t *testing.T) {
	w := newTown(t)
	long := strings.Repeat("Anfang ", textLimit/7) + "\r\nganz am Ende"
	w.accept(mail("Jürgen Müller <j@x.example>", "anna@stadt.example", "Plan", "Straße am Markt", "X-Spam: No, score=1", "Message-ID: <ABC@x>", "Bcc: hid@x.example"), w.anna)
	w.accept(mail("b@x.example", "bert@stadt.example", "Lang", long), w.anna)
	w.accept(withFile("Datei", "Plan.pdf"), w.anna)
	w.accept(mail("c@x.example", "bert@stadt.example", "Kopf", "x", "X-Long: "+strings.Repeat("lang ", headerLimit), "X-After: hinterher"), w.anna)
	var ids []doppelboden.ID
	w.must(w.db.Shown(ctx, w.inbox(w.anna), store.ShownFilter{}, func(s store.Shown) error { ids = append(ids, s.Message); return nil }))
	for _, when := range []string{"without extracts", "with extracts"} {
		for p, want := range map[Probe]string{
			{AnyBody, "STRASSE"}: "1000", {AnyBody, "plan"}: "0000", {AnyText, "plan"}: "1000", {AnyText, "x-spam: no"}: "1000", {AnyBody, "x-spam"}: "0000",
			{AnyText, ""}: "1111", {AnyBody, ""}: "1111", {AnyBody, "am ende"}: "0100", {AnyText, "am ende"}: "0100", {AnyText, "received: from there"}: "1111",
			{"from", "MÜLLER"}: "1000", {"from", "mueller"}: "0000", {"from", "x.example"}: "1101", {"to", "bert"}: "0101", {"cc", ""}: "0000", {"subject", "LAN"}: "1100",
			{"x-spam", ""}: "1000", {"x-spam", "SCORE=1"}: "1000", {"x-spam", "score=2"}: "0000", {"message-id", "<abc@x>"}: "1000", {"bcc", "hid@"}: "1000",
			{"to", ""}: "1101", {"from", ""}: "1111", {"x-none", ""}: "0000", {"received", "by us"}: "1111",
			{AnyText, "hinterher"}: "0001", {AnyText, "x-after: nirgends"}: "0000", {AnyBody, "hinterher"}: "0000",
		} {
			got := make([]string, len(ids))
			w.must(w.room.Holds(ctx, w.anna.Tenant, ids, []Probe{p}, func(id doppelboden.ID, has []bool) error {
				got[slices.Index(ids, id)] = map[bool]string{true: "1", false: "0"}[has[0]]
				return nil
			}))
			if strings.Join(got, "") != want {
				t.Errorf("%s: %q: got %v, wanted %s", when, p, got, want)
			}
		}
		w.extractAll()
	}
	n := 0
	err := w.room.Holds(ctx, w.anna.Tenant, ids, []Probe{{AnyBody, "x"}}, func(doppelboden.ID, []bool) error { n++; return fmt.Errorf("enough") })
	if err == nil || n != 1 {
		t.Errorf("after an error of yield: %d calls, %v", n, err)
	}
}

func TestASearchEndsWhenNobodyWaitsForIt(t *testing.T) {
	w := newTown(t)
	at := w.fill()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := w.room.Search(gone, []store.Place{at}, Query{Words: []string{"antrag"}}, func(Hit) error { return nil }); err == nil {
		t.Error("wanted an error")
	}
	if err := w.room.Search(ctx, nil, Query{}, func(Hit) error { t.Error("a hit in no place"); return nil }); err != nil {
		t.Error(err)
	}
}
