package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// A nextServer is a NextHop that answers as it is told.
type nextServer struct {
	f       *fakes
	ill     bool                                // Open returns nil
	rcpt    func(doppelboden.Address) error     // nil: yes
	dot     func(n int, o *doppelboden.Outcome) // changes the outcome of the n-th delivery; nil: took
	opened  int
	closed  int
	handed  []doppelboden.Delivery
	envelop *Envelope
}

func (s *nextServer) Open(_ context.Context, _ string, _ doppelboden.BoxID, e *Envelope) Passage {
	if s.ill {
		return nil
	}
	s.opened, s.envelop = s.opened+1, e
	return s
}

func (s *nextServer) Rcpt(_ context.Context, d *doppelboden.Delivery) error {
	if s.rcpt == nil {
		return nil
	}
	return s.rcpt(d.Recipient)
}

func (s *nextServer) Hand(_ context.Context, m *doppelboden.Message, list []doppelboden.Delivery) []doppelboden.Outcome {
	s.f.note("handed")
	s.handed = list
	out := make([]doppelboden.Outcome, len(list))
	for i, d := range list {
		out[i] = doppelboden.Outcome{Ref: doppelboden.Ref{Message: m.ID, N: d.N}, Verdict: doppelboden.Took, Scope: doppelboden.AboutMessage,
			Phase: "dot", Server: "gw:25", Reply: doppelboden.Reply{Code: 250, Text: "2.0.0 Ok"}, At: time.Unix(1_900_000_000, 0)}
		if s.dot != nil {
			s.dot(i, &out[i])
		}
	}
	return out
}

func (s *nextServer) Close() { s.closed++ }

// says returns an outcome's change to this verdict and reply.
func says(v doppelboden.Verdict, scope doppelboden.Scope, code int, text string) func(int, *doppelboden.Outcome) {
	return func(_ int, o *doppelboden.Outcome) {
		o.Verdict, o.Scope, o.Reply = v, scope, doppelboden.Reply{Code: code, Text: text}
	}
}

// passing is a directory in which all mail of stadt.example goes by a route with
// pass-through, but for that of carl, which goes another way.
type passing struct{ *fakes }

func (p passing) Find(e *Envelope, a doppelboden.Address) (Found, error) {
	found, err := p.fakes.Find(e, a)
	for i := range found.Targets {
		if a.Local != "carl" {
			found.Targets[i].Through = "stadt/gateway"
		}
	}
	return found, err
}

// through begins a transaction whose recipients pass through, and sends it.
func passThrough(t *testing.T, s *nextServer, checks ...Check) (*Intake, *Transaction) {
	t.Helper()
	in, f := newIntake(t, 0, checks...)
	s.f = f
	in.opts.NextHop, in.opts.Directory = s, func() Directory { return passing{f} }
	tx, err := in.Begin(Envelope{Door: "mx", Peer: "192.0.2.77", Sender: address(t, "a@strange.example")})
	if err != nil {
		t.Fatal(err)
	}
	return in, tx
}

// send gives recipients and a body, and returns what Commit says.
func send(t *testing.T, tx *Transaction, to ...string) error {
	t.Helper()
	for _, r := range to {
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, r)}); err != nil {
			t.Fatalf("RCPT %s: %v", r, err)
		}
	}
	io.WriteString(tx, "Subject: x\r\n\r\nhello\r\n")
	_, err := tx.Commit(t.Context())
	return err
}

func TestMailThatTheNextServerTakesIsKeptAsDelivered(t *testing.T) {
	s := &nextServer{}
	_, tx := passThrough(t, s)
	if err := send(t, tx, "anna@stadt.example", "bert@stadt.example", "anna+x@stadt.example"); err != nil {
		t.Fatal(err)
	}
	m := s.f.accepted[0]
	for _, d := range m.Deliveries {
		if d.State != doppelboden.Delivered || d.Attempts != 1 || !strings.Contains(d.Reply, "dot gw:25: 250 2.0.0 Ok") || d.Changed.Unix() != 1_900_000_000 {
			t.Errorf("delivery %+v, want delivered by one attempt, with the next server's words", d)
		}
	}
	if len(m.Copies) != 2 || len(s.handed) != 2 || s.opened != 1 || s.closed == 0 {
		t.Errorf("%d copies, %d handed over, opened %d times, closed %d times", len(m.Copies), len(s.handed), s.opened, s.closed)
	}
	if !slices.Equal(s.f.log, []string{"intent", "handed"}) {
		t.Errorf("%v, want the intent before the hand-over", s.f.log)
	}
}

func TestTheNextServersRefusalsAreTheSendersAndLeaveNoMessage(t *testing.T) {
	for name, c := range map[string]struct {
		change func(int, *doppelboden.Outcome)
		code   int
	}{
		"550": {says(doppelboden.Refused, doppelboden.AboutMessage, 550, "5.7.1 spam"), 550},
		"451": {says(doppelboden.Later, doppelboden.AboutMessage, 451, "4.7.1 greylisted"), 451},
		"LMTP, each for itself": {func(n int, o *doppelboden.Outcome) {
			says(doppelboden.Refused, doppelboden.AboutRecipient, 552+n, fmt.Sprint("5.2.", n))(n, o)
		}, 552},
	} {
		t.Run(name, func(t *testing.T) {
			s := &nextServer{dot: c.change}
			in, tx := passThrough(t, s)
			err := send(t, tx, "anna@stadt.example", "bert@stadt.example")
			if got := doppelboden.PassedOf(err).Code; got != c.code {
				t.Errorf("Commit: %v (code %d), want the next server's %d", err, got, c.code)
			}
			if len(s.f.accepted) != 0 || !slices.Equal(s.f.log, []string{"intent", "handed", "withdrawn"}) || in.budget.used.Load() != 0 {
				t.Errorf("%d messages, tally %v, %d bytes: want nothing left and the intent withdrawn", len(s.f.accepted), s.f.log, in.budget.used.Load())
			}
		})
	}
}

func TestCustodyBeginsWhenTheNextServerDoesNotAnswer(t *testing.T) {
	for name, s := range map[string]*nextServer{
		"ill":          {ill: true},
		"gone at RCPT": {rcpt: func(doppelboden.Address) error { return errors.New("connection refused") }},
		"gone at the second RCPT": {rcpt: func(a doppelboden.Address) error {
			if a.Local == "bert" {
				return io.EOF
			}
			return nil
		}},
		"gone before the dot": {dot: says(doppelboden.Later, doppelboden.AboutRoute, 0, "connection closed")},
		"gone after the dot": {dot: func(_ int, o *doppelboden.Outcome) {
			says(doppelboden.Later, doppelboden.AboutMessage, 0, "")(0, o)
			o.InDoubt = true
		}},
		"closing with 421": {dot: says(doppelboden.Later, doppelboden.AboutRoute, 421, "4.3.2 bye")},
	} {
		t.Run(name, func(t *testing.T) {
			_, tx := passThrough(t, s)
			if err := send(t, tx, "anna@stadt.example", "bert@stadt.example"); err != nil {
				t.Fatalf("the sender was told %v, want that the mail is ours", err)
			}
			for _, d := range s.f.accepted[0].Deliveries {
				if d.State != doppelboden.Queued {
					t.Errorf("delivery %+v, want queued", d)
				}
			}
			if s.opened > 0 && s.closed == 0 {
				t.Error("the passage was not closed")
			}
		})
	}
}

func TestARecipientWhomTheNextServerRefusesChangesNothingForOthers(t *testing.T) {
	s := &nextServer{rcpt: func(a doppelboden.Address) error {
		if strings.HasPrefix(a.Local, "no") {
			return doppelboden.RefusalOf(doppelboden.Reply{Code: 550, Enhanced: "5.1.1", Text: "5.1.1 unknown"})
		}
		return nil
	}}
	_, tx := passThrough(t, s)
	for range 3 {
		err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "no1@stadt.example")})
		if doppelboden.PassedOf(err).Code != 550 || doppelboden.CodeOf(err) != doppelboden.NoSuchMailbox {
			t.Fatalf("RCPT: %v, want the next server's 550", err)
		}
	}
	if err := send(t, tx, "anna@stadt.example"); err != nil {
		t.Fatal(err)
	}
	if m := s.f.accepted[0]; len(m.Deliveries) != 1 || m.Recipients != 1 || s.opened != 1 {
		t.Errorf("%d deliveries, %d recipients, opened %d times; want one of each", len(m.Deliveries), m.Recipients, s.opened)
	}
}

func TestRecipientsOfAnotherWayAreToBeSentOnTheirOwn(t *testing.T) {
	for _, pair := range [][2]string{{"anna@stadt.example", "carl@stadt.example"}, {"carl@stadt.example", "anna@stadt.example"}, {"anna@stadt.example", "list@stadt.example"}} {
		_, tx := passThrough(t, &nextServer{})
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, pair[0])}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, pair[1])}); doppelboden.CodeOf(err) != doppelboden.OtherTenant {
			t.Errorf("%v: %v, want 452 for the second", pair, err)
		}
	}
	_, tx := passThrough(t, &nextServer{ill: true})
	if err := send(t, tx, "anna@stadt.example", "carl@stadt.example"); err != nil {
		t.Errorf("with the next server ill all mail is ours, whatever its way: %v", err)
	}
}

func TestOfAMailThatLMTPTakesInPartTheRestIsHeldOrWaits(t *testing.T) {
	s := &nextServer{dot: func(n int, o *doppelboden.Outcome) {
		if n == 1 {
			says(doppelboden.Refused, doppelboden.AboutRecipient, 552, "5.2.2 full")(n, o)
		}
	}}
	_, tx := passThrough(t, s)
	if err := send(t, tx, "anna@stadt.example", "bert@stadt.example"); err != nil {
		t.Fatal(err)
	}
	d := s.f.accepted[0].Deliveries
	if d[0].State != doppelboden.Delivered || d[1].State != doppelboden.Held || !strings.Contains(d[1].Reply, "full") {
		t.Errorf("%+v, want the first delivered and the second held with the next server's words", d)
	}
}

func TestWhatNobodyMayGetYetDoesNotPassThrough(t *testing.T) {
	for _, found := range []Finding{{Hold: "quarantine"}, {Scan: doppelboden.Unscanned}} {
		s := &nextServer{}
		_, tx := passThrough(t, s, checkFunc(func(*Incoming) (Finding, error) { return found, nil }))
		if err := send(t, tx, "anna@stadt.example"); err != nil {
			t.Fatal(err)
		}
		if len(s.handed) > 0 || len(s.f.accepted) != 1 {
			t.Errorf("%+v: handed over %d, kept %d; want it kept only", found, len(s.handed), len(s.f.accepted))
		}
	}
}

func TestAnAcceptThatFailsAfterTheNextServerTookItIsATemporaryAnswer(t *testing.T) {
	s := &nextServer{}
	_, tx := passThrough(t, s)
	s.f.acceptErr = func(int) error { return &doppelboden.Error{Code: doppelboden.StorageFull, Public: "no room"} }
	if err := send(t, tx, "anna@stadt.example"); doppelboden.CodeOf(err).Permanent() || err == nil {
		t.Errorf("Commit: %v, want a temporary error: the sender sends it again, in doubt twice", err)
	}
}
