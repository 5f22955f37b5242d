package intake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"doppelboden"

	"github.com/emersion/go-message"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

// returnerTime is when the tests play.
var returnerTime = time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC)

// newReturner returns a returner on fakes.
func newReturner(t rapid.TB, change func(*ReturnerOptions)) (*Returner, *fakes) {
	t.Helper()
	f := &fakes{bodies: map[[32]byte][]byte{}}
	o := ReturnerOptions{
		Hostname: "mx.stadt.example", Directory: func() Directory { return f }, Bodies: f, Store: f, Notify: f.notify,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: prometheus.NewRegistry(),
		Ours: func(d string) bool { return d == "stadt.example" || d == "kreis.example" },
		Postmaster: func(doppelboden.TenantID) Postmaster {
			return Postmaster{Address: doppelboden.Address{Local: "postmaster", Domain: "stadt.example"}, Mailbox: 99}
		},
		Internet: func(_ context.Context, _ doppelboden.TenantID, domain string) (doppelboden.BoxID, error) {
			if domain == "strange.example" {
				return -7, nil
			}
			return 0, &doppelboden.Error{Code: doppelboden.Policy, Public: "not from here"}
		},
		Until: func(m *doppelboden.Message) time.Time { return m.Received.Add(5 * 24 * time.Hour) },
		Clock: func() time.Time { return returnerTime },
	}
	change(&o)
	r, err := NewReturner(o)
	if err != nil {
		t.Fatal(err)
	}
	return r, f
}

func asItIs(*ReturnerOptions) {}

const returnedText = "Subject: Bescheid\r\nMessage-ID: <1@stadt.example>\r\n\r\nthe content\r\n"

// kept puts a message of a sender into the fakes.
func (f *fakes) kept(sender string) *doppelboden.Message {
	b, _ := f.Put(1, []byte(returnedText))
	m := &doppelboden.Message{ID: doppelboden.ID{1, 2, 3}, Tenant: 1, Received: returnerTime.Add(-6 * time.Hour), Body: b, Confirmed: true,
		Prefix: []byte("Received: from a by mx.stadt.example\r\n"), Door: "submission"}
	if sender != "" {
		m.Sender, _ = doppelboden.ParseAddress(sender)
	}
	return m
}

// ending ends delivery n of a message.
func ending(m *doppelboden.Message, n int, how doppelboden.How) doppelboden.Ending {
	e := doppelboden.Ending{Message: m, How: how, Server: "mx.strange.example:25", Why: "",
		Delivery: doppelboden.Delivery{Message: m.ID, N: n, Recipient: doppelboden.Address{Local: "eva", Domain: "strange.example"}},
		Reply:    doppelboden.Reply{Code: 550, Enhanced: "5.1.1", Text: "no such user"}}
	e.Settlement = doppelboden.Settlement{Ref: doppelboden.Ref{Message: m.ID, N: n}, Box: -7, State: doppelboden.Bounced, Reply: "rcpt: 550 no such user",
		By: "courier", Attempt: true, At: returnerTime}
	if how.Success() {
		e.Settlement.State, e.Reply = doppelboden.Delivered, doppelboden.Reply{Code: 250, Text: "ok"}
	}
	return e
}

// one returns a single ending's settlement.
func one(t rapid.TB, r *Returner, e doppelboden.Ending) doppelboden.Settlement {
	t.Helper()
	list, err := r.Return(context.Background(), []doppelboden.Ending{e})
	if err != nil || len(list) != 1 {
		t.Fatalf("Return: %d settlements, %v", len(list), err)
	}
	return list[0]
}

// text reads a notice's body.
func (f *fakes) text(n *doppelboden.Message) string { return string(f.bodies[n.Body.Sum]) }

// The promise, row by row: who sent it, what the sender asked for, and what may follow.
func TestEveryEndFollowsThePromiseOfNoBackscatter(t *testing.T) {
	const (
		bounced, held, discarded, delivered = doppelboden.Bounced, doppelboden.Held, doppelboden.Discarded, doppelboden.Delivered
	)
	failures := []doppelboden.How{doppelboden.Rejected, doppelboden.Overaged, doppelboden.Returned}
	successes := []doppelboden.How{doppelboden.Relayed, doppelboden.Arrived}
	for _, c := range []struct {
		sender    string
		confirmed bool
		notify    string
		hows      []doppelboden.How
		state     doppelboden.State
		notice    bool
		copy      bool
	}{
		{"eva@strange.example", true, "", failures, bounced, true, false},
		{"eva@strange.example", true, "FAILURE", failures, bounced, true, false},
		{"eva@strange.example", true, "SUCCESS,FAILURE,DELAY", failures, bounced, true, false},
		{"eva@strange.example", true, "NEVER", failures, bounced, false, false},
		{"eva@strange.example", true, "SUCCESS", failures, bounced, false, false},
		{"eva@strange.example", true, "DELAY", failures, bounced, false, false},
		{"eva@strange.example", false, "", failures, held, false, false},
		{"eva@strange.example", false, "FAILURE", failures, held, false, false},
		{"eva@strange.example", false, "NEVER", failures, bounced, false, false},
		{"", false, "", failures, discarded, false, true},
		{"", true, "FAILURE", failures, discarded, false, true},
		{"", false, "NEVER", failures, discarded, false, true},
		{"eva@strange.example", true, "", successes, delivered, false, false},
		{"eva@strange.example", true, "SUCCESS", successes, delivered, true, false},
		{"eva@strange.example", true, "SUCCESS,FAILURE", successes, delivered, true, false},
		{"eva@strange.example", true, "FAILURE", successes, delivered, false, false},
		{"eva@strange.example", true, "NEVER", successes, delivered, false, false},
		{"eva@strange.example", false, "SUCCESS", successes, delivered, false, false},
		{"", true, "SUCCESS", successes, delivered, false, false},
	} {
		for _, how := range c.hows {
			for _, ret := range []string{"", "HDRS", "FULL"} {
				r, f := newReturner(t, asItIs)
				m := f.kept(c.sender)
				m.Confirmed, m.Ret = c.confirmed, ret
				e := ending(m, 0, how)
				e.Delivery.Notify = c.notify
				s := one(t, r, e)
				in := how.String() + " of <" + c.sender + "> NOTIFY=" + c.notify + " RET=" + ret
				if s.State != c.state || (s.Generated != nil) != c.notice || (len(s.Copies) == 1) != c.copy {
					t.Errorf("%s, confirmed %v: %v, notice %v, copies %v; want %v, %v, %v",
						in, c.confirmed, s.State, s.Generated != nil, s.Copies, c.state, c.notice, c.copy)
					continue
				}
				if by := map[bool]string{true: "courier", false: "intake"}[how == doppelboden.Returned]; c.copy && s.By != by {
					t.Errorf("%s: discarded by %s, want %s", in, s.By, by)
				}
				if c.copy && (s.Copies[0] != doppelboden.Copy{Mailbox: 99, Folder: "Double-Bounces", Message: m.ID, Date: returnerTime} ||
					!strings.HasPrefix(s.Reply, "double bounce: ") || !strings.Contains(s.Reply, "550 no such user")) {
					t.Errorf("%s: the postmaster gets %+v, and reads %q", in, s.Copies, s.Reply)
				}
				if c.state == held && !strings.Contains(s.Reply, "not confirmed") {
					t.Errorf("%s: held without a reason: %q", in, s.Reply)
				}
				whole := c.notice && !how.Success() && ret == "FULL"
				if c.notice && !strings.Contains(string(s.Generated.Prefix), "by mx.stadt.example (Doppelboden) with local id "+s.Generated.ID.String()) {
					t.Fatalf("the notice has no trace line with its id: %q", s.Generated.Prefix)
				}
				if c.notice && strings.Contains(f.text(s.Generated), "the content") != whole {
					t.Errorf("%s: the content goes back: %v, want %v", in, !whole, whole)
				}
				if len(f.accepted) > 0 || len(f.notified) > 0 {
					t.Errorf("%s: a notice was kept or told before its end was written", in)
				}
			}
		}
	}
}

func TestMalwareIsNeverReturned(t *testing.T) {
	for _, sender := range []string{"eva@strange.example", ""} {
		for _, notify := range []string{"", "NEVER", "FAILURE"} {
			r, f := newReturner(t, asItIs)
			m := f.kept(sender)
			m.Scan = doppelboden.Malware
			e := ending(m, 0, doppelboden.Returned)
			e.Delivery.Notify = notify
			if s := one(t, r, e); s.State != doppelboden.Held || s.Generated != nil || s.Copies != nil {
				t.Errorf("malware of <%s>, NOTIFY=%s: %v, notice %v, copies %v; want held alone", sender, notify, s.State, s.Generated, s.Copies)
			}
		}
	}
}

func TestContentGoesBackOnlyWhenAskedForSmallAndClean(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*doppelboden.Message)
		whole  bool
	}{
		"asked for":     {func(*doppelboden.Message) {}, true},
		"in small":      {func(m *doppelboden.Message) { m.Ret = "full" }, true},
		"clean":         {func(m *doppelboden.Message) { m.Scan = doppelboden.Clean }, true},
		"not asked for": {func(m *doppelboden.Message) { m.Ret = "" }, false},
		"header alone":  {func(m *doppelboden.Message) { m.Ret = "HDRS" }, false},
		"big":           {func(m *doppelboden.Message) { m.Body.Size = maxReturned + 1 }, false},
		"not scanned":   {func(m *doppelboden.Message) { m.Scan = doppelboden.Unscanned }, false},
		"spam":          {func(m *doppelboden.Message) { m.Scan = doppelboden.Spam }, false},
	} {
		r, f := newReturner(t, asItIs)
		m := f.kept("eva@strange.example")
		m.Ret = "FULL"
		c.change(m)
		text := f.text(one(t, r, ending(m, 0, doppelboden.Rejected)).Generated)
		if got := strings.Contains(text, "the content"); got != c.whole {
			t.Errorf("%s: the content goes back: %v, want %v", name, got, c.whole)
		}
		if !strings.Contains(text, "Subject: Bescheid\r\n") || !strings.Contains(text, "Received: from a by mx.stadt.example\r\n") {
			t.Errorf("%s: the header does not go back:\n%s", name, text)
		}
	}
}

func TestANoticeGoesToWhereTheSendersMailGoes(t *testing.T) {
	for _, c := range []struct {
		sender  string
		tenant  doppelboden.TenantID
		mailbox doppelboden.MailboxID
		box     doppelboden.BoxID
		state   doppelboden.State
	}{
		{"eva@strange.example", 1, 0, -7, doppelboden.Queued},
		{"anna@stadt.example", 1, 10, 10, doppelboden.Queued},
		{"here@stadt.example", 1, 12, 12, doppelboden.Delivered},
		{"karl@kreis.example", 2, 20, 20, doppelboden.Queued},
	} {
		r, f := newReturner(t, asItIs)
		n := one(t, r, ending(f.kept(c.sender), 3, doppelboden.Rejected)).Generated
		d := n.Deliveries[0]
		if n.Tenant != c.tenant || d.Tenant != c.tenant || d.Mailbox != c.mailbox || d.Box != c.box || d.State != c.state {
			t.Errorf("notice to %s: tenant %d, mailbox %d, box %d, %v; want %+v", c.sender, n.Tenant, d.Mailbox, d.Box, d.State, c)
		}
		if !n.Sender.IsNull() || n.Door != "generated" || n.Class != doppelboden.ClassNotice || d.Notify != "NEVER" || d.Recipient.String() != c.sender ||
			n.Recipients != 1 || len(n.Deliveries) != 1 || d.Message != n.ID {
			t.Errorf("envelope of the notice to %s: %+v", c.sender, n)
		}
		if len(n.Copies) != 1 != (c.mailbox == 0) {
			t.Errorf("notice to %s: %d copies", c.sender, len(n.Copies))
		}
		if len(n.About) != 1 || n.About[0] != (doppelboden.Ref{Message: doppelboden.ID{1, 2, 3}, N: 3}) {
			t.Errorf("the notice is about %v", n.About)
		}
		e, err := message.Read(bytes.NewReader(f.bodies[n.Body.Sum]))
		if err != nil || e.Header.Get("To") != "<"+c.sender+">" || e.Header.Get("From") != `"Mail Delivery System" <postmaster@stadt.example>` {
			t.Errorf("header of the notice to %s: %v, %v", c.sender, e.Header.Map(), err)
		}
	}
	both, f := newReturner(t, asItIs)
	n := one(t, both, ending(f.kept("both@stadt.example"), 0, doppelboden.Rejected)).Generated
	if n.Recipients != 1 || n.Expanded != 1 || len(n.Deliveries) != 2 || len(n.Copies) != 1 {
		t.Errorf("a notice to a mailbox with two ways: %d recipients, %d expanded, %d deliveries, %d copies; want 1, 1, 2, 1",
			n.Recipients, n.Expanded, len(n.Deliveries), len(n.Copies))
	}
}

func TestWhatCannotGoToItsSenderIsHeldWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		sender string
		how    doppelboden.How
		change func(*ReturnerOptions)
		reason string
	}{
		"a sender that does not exist here": {"nobody@stadt.example", doppelboden.Rejected, asItIs, "no such mailbox"},
		"a sender whose mail is assigned":   {"whose@stadt.example", doppelboden.Rejected, asItIs, "nobody's here"},
		"a list":                            {"list@stadt.example", doppelboden.Overaged, asItIs, "is a list"},
		"no Internet":                       {"eva@strange.example", doppelboden.Rejected, func(o *ReturnerOptions) { o.Internet = nil }, "nothing is sent to the Internet"},
		"no Internet for this tenant": {"eva@strange.example", doppelboden.Returned, func(o *ReturnerOptions) {
			o.Internet = func(context.Context, doppelboden.TenantID, string) (doppelboden.BoxID, error) {
				return 0, &doppelboden.Error{Code: doppelboden.Policy}
			}
		}, "nothing is sent to the Internet"},
		"an address of ours that takes nothing from outside": {"eva@strange.example", doppelboden.Rejected,
			func(o *ReturnerOptions) { o.Ours = func(string) bool { return true } }, "takes no mail here"},
		"no tenant":             {"eva@strange.example", doppelboden.Rejected, func(o *ReturnerOptions) { o.Postmaster = nobody }, "not configured"},
		"no postmaster for <>":  {"", doppelboden.Rejected, func(o *ReturnerOptions) { o.Postmaster = nobody }, "no mailbox stands behind the postmaster"},
		"nor for what a person": {"", doppelboden.Returned, func(o *ReturnerOptions) { o.Postmaster = nobody }, "no mailbox stands behind the postmaster"},
	} {
		r, f := newReturner(t, c.change)
		s := one(t, r, ending(f.kept(c.sender), 0, c.how))
		by := map[bool]string{true: "courier", false: "intake"} // ending says "courier" of everybody
		if s.State != doppelboden.Held || s.Generated != nil || s.Copies != nil || s.By != by[c.how == doppelboden.Returned] || !strings.Contains(s.Reply, c.reason) || !strings.Contains(s.Reply, "550 no such user") {
			t.Errorf("%s: %v by %s, %q; want held because %q", name, s.State, s.By, s.Reply, c.reason)
		}
	}
	// A success is none the less one.
	r, f := newReturner(t, asItIs)
	e := ending(f.kept("nobody@stadt.example"), 0, doppelboden.Relayed)
	e.Delivery.Notify = "SUCCESS"
	if s := one(t, r, e); s.State != doppelboden.Delivered || s.Generated != nil {
		t.Errorf("a success whose sender cannot be told: %v, notice %v; want delivered without one", s.State, s.Generated)
	}
}

func nobody(doppelboden.TenantID) Postmaster { return Postmaster{} }

func TestWhileANoticeCannotBeMadeTheEndWaits(t *testing.T) {
	boom := errors.New("boom")
	for name, change := range map[string]func(*ReturnerOptions){
		"the list of mailboxes is old": func(o *ReturnerOptions) {
			o.Directory = func() Directory {
				return finder(func() (Found, error) { return Found{}, &doppelboden.Error{Code: doppelboden.MailboxListStale} })
			}
		},
		"the body cannot be read":   func(o *ReturnerOptions) { o.Bodies = badBodies{o.Bodies, boom, nil} },
		"the notice cannot be kept": func(o *ReturnerOptions) { o.Bodies = badBodies{o.Bodies, nil, boom} },
		"the store is not there": func(o *ReturnerOptions) {
			o.Internet = func(context.Context, doppelboden.TenantID, string) (doppelboden.BoxID, error) { return 0, boom }
		},
	} {
		r, f := newReturner(t, change)
		if list, err := r.Return(t.Context(), []doppelboden.Ending{ending(f.kept("eva@strange.example"), 0, doppelboden.Rejected)}); err == nil {
			t.Errorf("%s: %+v, want an error", name, list)
		}
	}
}

// A finder finds always the same.
type finder func() (Found, error)

func (f finder) Find(*Envelope, doppelboden.Address) (Found, error) { return f() }

// badBodies fail.
type badBodies struct {
	Bodies
	read, put error
}

func (b badBodies) Reader(t doppelboden.TenantID, body doppelboden.Body) (io.ReadCloser, error) {
	if b.read != nil {
		return nil, b.read
	}
	return b.Bodies.Reader(t, body)
}

func (b badBodies) Put(t doppelboden.TenantID, p []byte) (doppelboden.Body, error) {
	if b.put != nil {
		return doppelboden.Body{}, b.put
	}
	return b.Bodies.Put(t, p)
}

// Of whatever ends together: one notice when somebody is to be told, about exactly those
// deliveries, and none otherwise.
func TestWhatEndsTogetherIsToldOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, f := newReturner(t, asItIs)
		m := f.kept(rapid.SampledFrom([]string{"eva@strange.example", "anna@stadt.example", "nobody@stadt.example", ""}).Draw(t, "sender"))
		m.Confirmed = rapid.Bool().Draw(t, "confirmed")
		deserve := map[int]bool{}
		ends := make([]doppelboden.Ending, rapid.IntRange(1, 6).Draw(t, "deliveries"))
		reachable := m.Confirmed && !m.Sender.IsNull() && m.Sender.Local != "nobody"
		for i := range ends {
			ends[i] = ending(m, i, doppelboden.How(rapid.IntRange(int(doppelboden.Rejected), int(doppelboden.Arrived)).Draw(t, "how")))
			ends[i].Delivery.Notify = rapid.SampledFrom([]string{"", "NEVER", "SUCCESS", "FAILURE", "SUCCESS,FAILURE", "DELAY"}).Draw(t, "notify")
			n := ends[i].Delivery.Notify
			wants := n == "" && !ends[i].How.Success() || ends[i].How.Success() && strings.Contains(n, "SUCCESS") || !ends[i].How.Success() && strings.Contains(n, "FAILURE")
			deserve[i] = reachable && wants
		}
		list, err := r.Return(context.Background(), ends)
		if err != nil || len(list) != len(ends) {
			t.Fatalf("%d settlements for %d endings, %v", len(list), len(ends), err)
		}
		notices := map[*doppelboden.Message]int{}
		for i, s := range list {
			if s.Ref != ends[i].Settlement.Ref {
				t.Fatalf("settlement %d is about %v", i, s.Ref)
			}
			if (s.Generated != nil) != deserve[i] {
				t.Fatalf("delivery %d: notice %v, want %v", i, s.Generated != nil, deserve[i])
			}
			if s.Generated != nil {
				notices[s.Generated]++
			}
			if s.State == doppelboden.Bounced && s.Generated == nil && doppelboden.Notify(ends[i].Delivery.Notify, doppelboden.OnFailure) {
				t.Fatalf("delivery %d bounced, and nobody is told who wants to be", i)
			}
		}
		if len(notices) > 1 {
			t.Fatalf("%d notices about one message", len(notices))
		}
		for n, told := range notices {
			if len(n.About) != told || strings.Count(f.text(n), "Final-Recipient: ") != told {
				t.Fatalf("a notice for %d deliveries is about %v and names %d", told, n.About, strings.Count(f.text(n), "Final-Recipient: "))
			}
		}
	})
}

func TestOwnSendersAreToldOfADelayOnceTheyWantIt(t *testing.T) {
	waiting := []doppelboden.Delivery{
		{N: 0, Recipient: doppelboden.Address{Local: "eva", Domain: "strange.example"}, Reply: "connect mx.strange.example:25: no answer in time", Attempts: 3, Changed: returnerTime},
		{N: 1, Recipient: doppelboden.Address{Local: "otto", Domain: "strange.example"}, Notify: "NEVER"},
		{N: 2, Recipient: doppelboden.Address{Local: "ina", Domain: "strange.example"}, Notify: "DELAY"},
	}
	for name, c := range map[string]struct {
		sender  string
		change  func(*doppelboden.Message)
		waiting []doppelboden.Delivery
		about   int
	}{
		"ours":                     {"anna@stadt.example", func(*doppelboden.Message) {}, waiting, 2},
		"ours, wants none":         {"anna@stadt.example", func(*doppelboden.Message) {}, waiting[1:2], 0},
		"ours, not confirmed":      {"anna@stadt.example", func(m *doppelboden.Message) { m.Confirmed = false }, waiting, 0},
		"ours, without a mailbox":  {"nobody@stadt.example", func(*doppelboden.Message) {}, waiting, 0},
		"a stranger, confirmed":    {"eva@strange.example", func(*doppelboden.Message) {}, waiting, 0},
		"a notice or without name": {"", func(*doppelboden.Message) {}, waiting, 0},
	} {
		r, f := newReturner(t, asItIs)
		m := f.kept(c.sender)
		c.change(m)
		if err := r.Delayed(t.Context(), m, c.waiting); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := min(c.about, 1); len(f.accepted) != want || len(f.notified) != want {
			t.Errorf("%s: %d notices kept, %d told; want %d", name, len(f.accepted), len(f.notified), want)
			continue
		}
		if c.about == 0 {
			continue
		}
		n := f.accepted[0]
		text := f.text(n)
		if len(n.About) != c.about || !strings.Contains(text, "Action: delayed\r\n") || !strings.Contains(text, "Will-Retry-Until: Fri, 27 Nov 2026 15:00:00 +0000\r\n") ||
			strings.Contains(text, "otto") || strings.Contains(text, "the content") {
			t.Errorf("%s: about %v:\n%s", name, n.About, text)
		}
	}
	r, f := newReturner(t, asItIs)
	f.acceptErr = func(int) error { return errors.New("disk") }
	if err := r.Delayed(t.Context(), f.kept("anna@stadt.example"), waiting); err == nil || len(f.notified) > 0 {
		t.Errorf("a notice that was not kept: %v, told %d times; want an error and no word to the queue", err, len(f.notified))
	}
}

func TestAPersonsReasonIsInTheNotice(t *testing.T) {
	r, f := newReturner(t, asItIs)
	e := ending(f.kept("anna@stadt.example"), 0, doppelboden.Returned)
	e.Why, e.Reply, e.Server = "wrong department", doppelboden.Reply{}, ""
	text := f.text(one(t, r, e).Generated)
	for _, want := range []string{"Grund: wrong department", "Reason: wrong department", "Status: 5.0.0\r\n", "Action: failed\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the notice lacks %q:\n%s", want, text)
		}
	}
}

func TestAReplyThatIsTooLongIsCutBetweenCharacters(t *testing.T) {
	r, f := newReturner(t, asItIs)
	e := ending(f.kept(""), 0, doppelboden.Rejected)
	e.Settlement.Reply = strings.Repeat("ü", 500)
	s := one(t, r, e)
	if len(s.Reply) > maxReply || !strings.HasSuffix(s.Reply, "ü") {
		t.Errorf("a reply of %d bytes ends in %q", len(s.Reply), s.Reply[len(s.Reply)-4:])
	}
}

func TestWhoMaySendInAnybodysNameConfirmsOnlyAddressesOfItsTenant(t *testing.T) {
	home := func(a doppelboden.Address) bool { return a.Domain == "stadt.example" }
	mine := func(a doppelboden.Address) bool { return a.Local == "scanner" }
	for _, c := range []struct {
		own    Own
		sender string
		want   bool
	}{
		{Own{Home: home, MaySend: mine}, "scanner@stadt.example", true},
		{Own{Home: home}, "anna@stadt.example", true},
		{Own{Home: home}, "eva@strange.example", false},
		{Own{}, "anna@stadt.example", false},
	} {
		if got := c.own.confirms(address(t, c.sender)); got != c.want {
			t.Errorf("own with rules %v sends as %s: confirmed %v, want %v", c.own.MaySend != nil, c.sender, got, c.want)
		}
	}
}

func TestANoticeNamesTheListToWhichTheSenderWroteAndNotItsMember(t *testing.T) {
	r, _ := newReturner(t, asItIs)
	for orcpt, want := range map[string]string{
		"rfc822;alle@stadt.example":         "alle@stadt.example",
		"rfc822;eva@strange.example":        "eva@strange.example",
		"rfc822;somebody@elsewhere.example": "eva@strange.example", // the sender's own affair
		"":                                  "eva@strange.example",
		"nonsense":                          "eva@strange.example",
	} {
		d := doppelboden.Delivery{Recipient: address(t, "eva@strange.example"), ORcpt: orcpt}
		if got := r.shown(&d); got.String() != want {
			t.Errorf("ORCPT %q: the notice names %s, want %s", orcpt, got, want)
		}
	}
}
