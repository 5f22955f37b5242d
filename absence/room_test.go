package absence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/letter"
)

// A disk is what outlives a node: who had an answer, what is set, what was sent.
type disk struct {
	mu      sync.Mutex
	t       *testing.T
	now     time.Time
	ids     doppelboden.IDs
	set     map[doppelboden.MailboxID]Setting
	claims  map[string]time.Time // until when
	mails   map[doppelboden.ID]string
	sent    []string
	here    map[doppelboden.MailboxID]bool
	older   time.Time
	failing error // of Answer
	lost    error // of Claim, after it was kept
}

func newDisk(t *testing.T) *disk {
	d := &disk{t: t, now: time.Date(2026, 7, 14, 9, 0, 0, 0, time.UTC), set: map[doppelboden.MailboxID]Setting{}, claims: map[string]time.Time{},
		mails: map[doppelboden.ID]string{}, here: map[doppelboden.MailboxID]bool{1: true}}
	d.set[1] = Setting{On: true, Text: "Ich bin weg.\nGrüße", Since: d.now.Add(-time.Hour)}
	return d
}

// node returns a room as a node has it that has just started on the disk.
func (d *disk) node() *Room {
	r, err := New(Options{
		Serves: func(m doppelboden.MailboxID) bool { return d.here[m] },
		Setting: func(_ context.Context, _ doppelboden.TenantID, m doppelboden.MailboxID) (Setting, error) {
			return d.set[m], nil
		},
		Claim: func(_ context.Context, _ doppelboden.TenantID, m doppelboden.MailboxID, key string, at, until time.Time) (bool, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			name := fmt.Sprint(m, key)
			if d.claims[name].After(at) {
				return false, nil
			}
			d.claims[name] = until
			return true, d.lost
		},
		Mailbox: func(m doppelboden.MailboxID) (doppelboden.Mailbox, bool) {
			return doppelboden.Mailbox{ID: m, Tenant: 1, Name: "Anna Öhler", Kind: doppelboden.Person, Address: address(d.t, fmt.Sprintf("anna%d@stadt.example", m)),
				Aliases: []doppelboden.Address{address(d.t, "anna.oehler@stadt.example")}}, m < 100
		},
		Read: func(m *doppelboden.Message) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(d.mails[m.ID])), nil
		},
		Answer: func(_ context.Context, a intake.Answer) (bool, error) {
			if d.failing != nil {
				return false, d.failing
			}
			var b bytes.Buffer
			err := a.Write(&b)
			d.mu.Lock()
			defer d.mu.Unlock()
			d.sent = append(d.sent, b.String())
			return true, err
		},
		NewID: func() doppelboden.ID { return d.ids.New(d.now) }, Older: func() time.Time { return d.older },
		Language: func(doppelboden.MailboxID) string { return "de" }, Hostname: "mx.stadt.example",
		Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Clock: func() time.Time { return d.now },
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func address(t *testing.T, s string) doppelboden.Address {
	t.Helper()
	a, err := doppelboden.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ordinary is the mail of a person to a person.
const ordinary = "From: Eva <eva@example.org>\r\nTo: anna1@stadt.example\r\nSubject: Bauantrag für Öl\r\nMessage-ID: <7@example.org>\r\nReferences: <5@example.org>\r\n <6@example.org>\r\n\r\nGuten Tag\r\n"

// mail keeps a mail of Eva's for mailbox 1.
func (d *disk) mail(text string) *doppelboden.Message {
	m := &doppelboden.Message{ID: d.ids.New(d.now), Tenant: 1, Door: "mx", Received: d.now, Sender: address(d.t, "eva@example.org"), Confirmed: true, Scan: doppelboden.Clean,
		Deliveries: []doppelboden.Delivery{{Mailbox: 1}}}
	d.mails[m.ID] = text
	return m
}

// drained tells a room of mails and has it work until nothing waits.
func (d *disk) drained(r *Room, list ...*doppelboden.Message) {
	d.t.Helper()
	r.Arrived(list)
	r.work(d.t.Context())
}

func TestAnAnswerIsOneThatNobodyAnswers(t *testing.T) {
	d := newDisk(t)
	d.drained(d.node(), d.mail(ordinary))
	if len(d.sent) != 1 {
		t.Fatalf("%d answers, want 1", len(d.sent))
	}
	l, err := letter.Parse(strings.NewReader(d.sent[0]), letter.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"auto-submitted": "auto-replied", "to": "<eva@example.org>", "subject": "Abwesenheit: Bauantrag für Öl", "in-reply-to": "<7@example.org>",
		"references": "<5@example.org> <6@example.org> <7@example.org>", "from": "Anna Öhler <anna1@stadt.example>",
	} {
		if got := l.Field(field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if got := strings.TrimSpace(l.Text()); got != "Ich bin weg.\nGrüße" {
		t.Errorf("the text: %q", got)
	}
	if byHeader(l) == "" {
		t.Error("an answering machine like ours would answer it")
	}
}

func TestHostileSubjectsAndIDsAddNoFields(t *testing.T) {
	d := newDisk(t)
	d.set[1] = Setting{On: true, Text: "x", Since: d.now}
	long := strings.Repeat("Ä", 3000)
	d.drained(d.node(), d.mail("To: anna1@stadt.example\r\nSubject: =?utf-8?q?a=0D=0ABcc:_all@example.org?= "+long+"\r\nMessage-ID: <a\x01b>\r\nReferences: <"+strings.Repeat("r", 900)+">\r\n\r\n"))
	if len(d.sent) != 1 {
		t.Fatalf("%d answers, want 1", len(d.sent))
	}
	head, _, _ := strings.Cut(d.sent[0], "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if len(line) > 998 || strings.HasPrefix(line, "Bcc") || strings.ContainsAny(line, "\r\n\x01") {
			t.Errorf("a line of the header: %.80q", line)
		}
	}
}

// TestWhoGetsNoAnswer is the table of RFC 3834, section 2, and of promise 12.
func TestWhoGetsNoAnswer(t *testing.T) {
	field := func(f string) func(d *disk, m *doppelboden.Message) {
		return func(d *disk, m *doppelboden.Message) { d.mails[m.ID] = f + "\r\n" + ordinary }
	}
	last := func(f string) func(d *disk, m *doppelboden.Message) {
		return func(d *disk, m *doppelboden.Message) {
			d.mails[m.ID] = strings.Replace(ordinary, "\r\n\r\n", "\r\n"+f+"\r\n\r\n", 1)
		}
	}
	from := func(a string) func(d *disk, m *doppelboden.Message) {
		return func(d *disk, m *doppelboden.Message) { m.Sender = address(d.t, a) }
	}
	type change = func(d *disk, m *doppelboden.Message)
	for name, one := range map[string]struct {
		change
		answers int
	}{
		"a person":             {func(*disk, *doppelboden.Message) {}, 1},
		"Auto-Submitted: no":   {field("Auto-Submitted: No (by hand)"), 1},
		"nobody has a scanner": {func(_ *disk, m *doppelboden.Message) { m.Scan = doppelboden.NotScanned }, 1},
		"an alias in Cc": {func(d *disk, m *doppelboden.Message) {
			d.mails[m.ID] = "To: x@example.org\r\nCc: Anna <ANNA.Oehler@stadt.example>\r\n\r\n"
		}, 1},
		"a colleague": {func(d *disk, m *doppelboden.Message) {
			m.Sender, m.Door = address(d.t, "bert@stadt.example"), "webmail"
		}, 1},
		"nobody confirmed it": {func(_ *disk, m *doppelboden.Message) { m.Confirmed = false }, 0},
		"a null sender":       {func(_ *disk, m *doppelboden.Message) { m.Sender = doppelboden.Address{} }, 0},
		"spam":                {func(_ *disk, m *doppelboden.Message) { m.Scan = doppelboden.Spam }, 0},
		"malware":             {func(_ *disk, m *doppelboden.Message) { m.Scan = doppelboden.Malware }, 0},
		"unscanned":           {func(_ *disk, m *doppelboden.Message) { m.Scan = doppelboden.Unscanned }, 0},
		"waived":              {func(_ *disk, m *doppelboden.Message) { m.Scan = doppelboden.Waived }, 0},
		"our own notice":      {func(_ *disk, m *doppelboden.Message) { m.Class = doppelboden.ClassNotice }, 0},
		"made by us":          {func(_ *disk, m *doppelboden.Message) { m.Door = "generated" }, 0},
		"a journal report":    {func(_ *disk, m *doppelboden.Message) { m.Door = "journal" }, 0},
		"held":                {func(_ *disk, m *doppelboden.Message) { m.Deliveries[0].State = doppelboden.Held }, 0},
		"to hundreds": {func(_ *disk, m *doppelboden.Message) {
			m.Deliveries = append(m.Deliveries, make([]doppelboden.Delivery, 100)...)
		}, 0},
		"Auto-Submitted":        {field("Auto-Submitted: auto-generated"), 0},
		"Auto-Submitted; x":     {field("AUTO-SUBMITTED:\r\n auto-replied; owner-email=\"x\""), 0},
		"Auto-Submitted, empty": {field("Auto-Submitted: "), 0},
		"Precedence: bulk":      {field("Precedence: Bulk"), 0},
		"Precedence: list":      {field("Precedence: list"), 0},
		"Precedence: junk":      {field("Precedence: junk"), 0},
		"List-Id":               {field("List-Id: <x.example.org>"), 0},
		"List-Unsubscribe":      {field("List-Unsubscribe: <https://example.org>"), 0},
		"X-Auto-Response":       {field("X-Auto-Response-Suppress: OOF, DR"), 0},
		"a report":              {field("Content-Type: multipart/report; boundary=x"), 0},
		"too long a header":     {last("X-Long: " + strings.Repeat("x", mostHeader)), 0},
		"too many fields":       {last(strings.Repeat("X-Many: x\r\n", 2000) + "X: y"), 0},
		"mailer-daemon":         {from("MAILER-DAEMON@example.org"), 0},
		"noreply":               {from("noreply@example.org"), 0},
		"no-reply":              {from("no-reply@example.org"), 0},
		"do_not_reply":          {from("Do_Not.Reply@example.org"), 0},
		"x-noreply":             {from("shop-noreply@example.org"), 0},
		"owner-":                {from("owner-list@example.org"), 0},
		"-request":              {from("list-request@example.org"), 0},
		"VERP":                  {from("list-bounces+anna=stadt.example@example.org"), 0},
		"herself":               {from("anna.oehler@stadt.example"), 0},
		"a blind copy":          {func(d *disk, m *doppelboden.Message) { d.mails[m.ID] = "To: x@example.org\r\n\r\n" }, 0},
		"passed on to her": {func(d *disk, m *doppelboden.Message) {
			d.mails[m.ID] = "To: x@example.org\r\nResent-To: anna1@stadt.example\r\n\r\n"
		}, 0},
		"only in a name": {func(d *disk, m *doppelboden.Message) {
			d.mails[m.ID] = "To: \"anna1@stadt.example\" <x@example.org>\r\n\r\n"
		}, 0},
		"the groupware serves": {func(d *disk, _ *doppelboden.Message) { d.here[1] = false }, 0},
		"switched off":         {func(d *disk, _ *doppelboden.Message) { d.set[1] = Setting{Text: "x"} }, 0},
		"before the first day": {func(d *disk, _ *doppelboden.Message) { d.set[1] = Setting{On: true, Text: "x", From: "2026-07-15"} }, 0},
		"on the last day": {func(d *disk, _ *doppelboden.Message) {
			d.set[1] = Setting{On: true, Text: "x", From: "2026-07-14", Until: "2026-07-14"}
		}, 1},
		"after the last day": {func(d *disk, _ *doppelboden.Message) { d.set[1] = Setting{On: true, Text: "x", Until: "2026-07-13"} }, 0},
		"before it was set":  {func(d *disk, m *doppelboden.Message) { m.Received = d.now.Add(-61 * time.Minute) }, 0},
		"drained much later": {func(d *disk, m *doppelboden.Message) {
			d.set[1] = Setting{On: true, Text: "x"}
			m.Received = d.now.Add(-5 * time.Hour)
		}, 0},
		"an older database": {func(d *disk, _ *doppelboden.Message) { d.older = d.now.Add(time.Second) }, 0},
		"a mailbox that is gone": {func(d *disk, m *doppelboden.Message) {
			d.here[100], d.set[100], m.Deliveries[0].Mailbox = true, d.set[1], 100
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			m := d.mail(ordinary)
			one.change(d, m)
			d.drained(d.node(), m)
			if len(d.sent) != one.answers {
				t.Errorf("%d answers, want %d: %q", len(d.sent), one.answers, d.sent)
			}
		})
	}
}

func TestASenderGetsOneAnswerInSevenDaysWhateverCrashes(t *testing.T) {
	d := newDisk(t)
	r := d.node()
	m := d.mail(ordinary)
	m.Deliveries = append(m.Deliveries, doppelboden.Delivery{Mailbox: 1}) // a second way of the mailbox
	d.drained(r, m, d.mail(ordinary))
	d.drained(d.node(), m) // drained again after a crash, and a room that knows nothing
	wants := func(when string, n int) {
		t.Helper()
		if len(d.sent) != n {
			t.Errorf("%s: %d answers, want %d", when, len(d.sent), n)
		}
	}
	wants("after a crash", 1)
	signed := d.mail(ordinary)
	signed.Sender = address(t, "prvs=0123abc=eva@example.org")
	d.drained(r, signed)
	wants("by an address that differs from mail to mail", 1)
	d.here[2], d.set[2] = true, d.set[1]
	other := d.mail(strings.Replace(ordinary, "anna1", "anna2", 1))
	other.Deliveries[0].Mailbox = 2
	d.drained(r, other)
	wants("of another mailbox", 2)
	d.now = d.now.Add(7*24*time.Hour - time.Minute)
	d.drained(r, d.mail(ordinary))
	wants("before seven days are over", 2)
	d.now = d.now.Add(2 * time.Minute)
	d.drained(r, d.mail(ordinary))
	wants("after seven days", 3)
}

func TestWhatTheGroupwareAnswersOrHasAnsweredIsLeftToIt(t *testing.T) {
	d := newDisk(t)
	r := d.node()
	d.here[1] = false
	r.Arrived([]*doppelboden.Message{d.mail(ordinary)})
	d.here[1] = true
	r.work(t.Context())
	if len(d.sent) != 0 {
		t.Errorf("mail that came while the groupware served the mailbox: %d answers, want none", len(d.sent))
	}
	r.Arrived([]*doppelboden.Message{d.mail(ordinary)})
	d.here[1] = false
	r.work(t.Context())
	if len(d.sent) != 0 {
		t.Errorf("a groupware that works again meanwhile: %d answers, want none", len(d.sent))
	}
}

func TestInDoubtThereIsNoAnswer(t *testing.T) {
	d := newDisk(t)
	r := d.node()
	d.failing = errors.New("the outcome is unknown")
	d.drained(r, d.mail(ordinary))
	d.failing = nil
	d.drained(r, d.mail(ordinary))
	if len(d.sent) != 0 {
		t.Errorf("after an answer that may be there: %d more, want none", len(d.sent))
	}
	d = newDisk(t)
	d.lost = errors.New("the commit is unknown")
	d.drained(d.node(), d.mail(ordinary))
	if len(d.sent) != 0 {
		t.Errorf("without a note on the disk: %d answers, want none", len(d.sent))
	}
}

func TestAnswersAreBoundedByTheHour(t *testing.T) {
	d := newDisk(t)
	r := d.node()
	var list []*doppelboden.Message
	for i := range 2 * hourly {
		m := d.mail(ordinary)
		m.Sender = address(t, fmt.Sprintf("p%d@example.org", i))
		list = append(list, m)
	}
	d.drained(r, list...)
	if len(d.sent) != hourly || len(d.claims) != hourly {
		t.Errorf("%d answers and %d notes in an hour, want %d of each", len(d.sent), len(d.claims), hourly)
	}
	d.now = d.now.Add(time.Hour)
	d.drained(r, d.mail(ordinary))
	if len(d.sent) != hourly+1 {
		t.Errorf("%d answers in the next hour, want %d", len(d.sent), hourly+1)
	}
}

func TestAFloodFillsNoMemory(t *testing.T) {
	d := newDisk(t)
	r := d.node()
	m := d.mail(ordinary)
	for range 3 {
		list := make([]*doppelboden.Message, mostWaiting/2+1)
		for i := range list {
			list[i] = m
		}
		r.Arrived(list)
	}
	if len(r.waiting) != mostWaiting {
		t.Errorf("%d mails wait, want %d", len(r.waiting), mostWaiting)
	}
}

func TestASettingIsReadAgainWhenItWasChanged(t *testing.T) {
	d := newDisk(t)
	r := d.node()
	on := d.set[1]
	d.set[1] = Setting{}
	d.drained(r, d.mail(ordinary))
	d.set[1] = on
	d.drained(r, d.mail(ordinary))
	if len(d.sent) != 0 {
		t.Errorf("%d answers, want none by what is known", len(d.sent))
	}
	r.Forget(1)
	d.drained(r, d.mail(ordinary))
	if len(d.sent) != 1 {
		t.Errorf("after a change here: %d answers, want 1", len(d.sent))
	}
	d.set[1] = Setting{}
	d.now = d.now.Add(knownFor)
	m := d.mail(ordinary)
	m.Sender = address(t, "uwe@example.org")
	d.drained(r, m)
	if len(d.sent) != 1 {
		t.Errorf("after a change at another node: %d answers, want 1", len(d.sent))
	}
}
