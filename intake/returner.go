package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"doppelboden"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// ReturnerOptions say what a Returner works with. All fields must be set unless a default
// is named.
type ReturnerOptions struct {
	Hostname  string           // our name in the notices
	Directory func() Directory // the snapshot to use now
	Bodies    Bodies
	Store     store.Acceptor
	Notify    func(*doppelboden.Message) // tells the queue of a kept notice
	Log       *slog.Logger
	Registry  prometheus.Registerer

	// Ours reports whether a domain is one of the city's.
	Ours func(domain string) bool
	// Postmaster returns who answers for a tenant's mail.
	Postmaster func(doppelboden.TenantID) Postmaster
	// Internet returns the box for a tenant's mail to a domain of the Internet; nil:
	// nothing is sent there. The code is Policy when the tenant sends nothing there.
	Internet func(ctx context.Context, t doppelboden.TenantID, domain string) (doppelboden.BoxID, error)
	// Until returns when trying ends for a message to the Internet.
	Until func(*doppelboden.Message) time.Time
	// Clock returns the time, in the zone that people here read; default time.Now.
	Clock func() time.Time
}

func (o *ReturnerOptions) validate() error {
	if o.Hostname == "" || o.Directory == nil || o.Bodies == nil || o.Store == nil || o.Notify == nil || o.Log == nil ||
		o.Registry == nil || o.Ours == nil || o.Postmaster == nil || o.Until == nil {
		return errors.New("intake: a returner needs all of Hostname, Directory, Bodies, Store, Notify, Log, Registry, Ours, Postmaster and Until")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return nil
}

// A Postmaster answers for a tenant's mail.
type Postmaster struct {
	Address doppelboden.Address   // what notices come from; null: the tenant is not known
	Mailbox doppelboden.MailboxID // 0: nobody stands behind the address
}

// DoubleBounces is the folder of the postmaster's mailbox in which lies what could be
// neither delivered nor returned.
const DoubleBounces = "Double-Bounces"

// A Returner tells senders what became of their mail. It makes DSNs and delay notices; the
// DSN of an end is written by who writes the end, in one commit with it. It promises:
//
//   - No backscatter (promise 12): a notice goes only to a sender that SPF, DMARC or a
//     log-in confirmed, never about a notice, and never about malware.
//   - What may not be told or returned is never lost: it is held for a person, or lies in
//     the postmaster's folder.
type Returner struct {
	opts    ReturnerOptions
	ids     doppelboden.IDs
	notices *prometheus.CounterVec
}

// NewReturner returns a returner.
func NewReturner(o ReturnerOptions) (*Returner, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &Returner{opts: o, notices: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "doppelboden_intake_endings_total",
		Help: "Ends of deliveries of which a sender might have to be told, by how they ended and what followed.",
	}, []string{"how", "followed"})}
	o.Registry.MustRegister(r.notices)
	return r, nil
}

// What follows from an ending.
const (
	quiet     = "quiet"     // nobody is told
	told      = "told"      // the sender gets a DSN
	held      = "held"      // a person decides
	discarded = "discarded" // nobody can be told; the postmaster has a copy
)

// Return completes the settlements of deliveries of one message that end together; see
// queue.Returner. Codes: what Directory, Bodies and Internet return as temporary.
func (r *Returner) Return(ctx context.Context, ends []doppelboden.Ending) ([]doppelboden.Settlement, error) {
	list := make([]doppelboden.Settlement, len(ends))
	follows := make([]string, len(ends))
	var tell []doppelboden.Ending
	for i := range ends {
		list[i] = ends[i].Settlement
		follows[i] = r.judge(&ends[i], &list[i])
		if follows[i] == told {
			tell = append(tell, ends[i])
		}
	}
	if len(tell) > 0 {
		notice, hold, err := r.notice(ctx, tell)
		if err != nil {
			return nil, fmt.Errorf("tell the sender of %s: %w", ends[0].Message.ID, err)
		}
		for i := range list {
			switch {
			case follows[i] != told:
			case hold == "":
				list[i].Generated = notice
			case ends[i].How.Success():
				follows[i] = quiet // a success must not be held for want of a notice
			default:
				follows[i] = r.hold(&ends[i], &list[i], hold)
			}
		}
	}
	for i := range ends {
		r.notices.WithLabelValues(ends[i].How.String(), follows[i]).Inc()
	}
	return list, nil
}

// judge decides what follows from an ending, as far as that can be said without the way
// to the sender, and changes its settlement.
func (r *Returner) judge(e *doppelboden.Ending, s *doppelboden.Settlement) string {
	m := e.Message
	if e.How.Success() {
		if m.Sender.IsNull() || !m.Confirmed || !doppelboden.Notify(e.Delivery.Notify, doppelboden.OnSuccess) {
			return quiet
		}
		return told
	}
	switch {
	case m.Scan == doppelboden.Malware:
		return r.hold(e, s, "malware is not returned")
	case m.Sender.IsNull():
		return r.discard(e, s)
	case !doppelboden.Notify(e.Delivery.Notify, doppelboden.OnFailure):
		return quiet
	case !m.Confirmed:
		return r.hold(e, s, "the sender is not confirmed, so a notice could reach somebody who never wrote")
	}
	return told
}

// hold leaves a delivery to a person.
func (r *Returner) hold(e *doppelboden.Ending, s *doppelboden.Settlement, why string) string {
	s.State, s.Hold = doppelboden.Held, doppelboden.Hold{Reason: doppelboden.HeldUnreturned, Route: s.Hold.Route}
	decide(e, s)
	s.Reply = line("not returned, " + why + ": " + s.Reply)
	return held
}

// discard ends what has no sender: RFC 5321, section 4.5.5. The postmaster gets a copy;
// without a mailbox for it a person decides.
func (r *Returner) discard(e *doppelboden.Ending, s *doppelboden.Settlement) string {
	box := r.opts.Postmaster(e.Message.Tenant).Mailbox
	if box == 0 {
		return r.hold(e, s, "it has no sender, and no mailbox stands behind the postmaster")
	}
	s.State = doppelboden.Discarded
	decide(e, s)
	s.Reply = line("double bounce: " + s.Reply)
	s.Copies = []doppelboden.Copy{{Mailbox: box, Folder: DoubleBounces, Message: e.Message.ID, Date: s.At}}
	return discarded
}

// decide notes who decided: the person who wanted the mail returned, or this room.
func decide(e *doppelboden.Ending, s *doppelboden.Settlement) {
	if e.How != doppelboden.Returned {
		s.By = "intake"
	}
}

// maxReply bounds what a delivery keeps of the last words, in bytes; see Delivery.Reply.
const maxReply = 1000

// line bounds a reply.
func line(s string) string {
	if len(s) <= maxReply {
		return s
	}
	for n := maxReply; ; n-- {
		if s[n]&0xc0 != 0x80 { // not in the middle of a character
			return s[:n]
		}
	}
}
