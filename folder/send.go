package folder

import (
	"context"
	"fmt"
	"io"
	"strings"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/store"
)

// An Outgoing is a mail that somebody sends from a mailbox.
type Outgoing struct {
	// Key names this sending, as NewKey made it: the same key never sends twice, whatever
	// becomes of pages, connections and nodes in between. Empty: it is not recognized.
	Key string
	// From is the reverse-path.
	From doppelboden.Address
	// MaySend reports in whose name the person may write; nil: only in that of the mailbox.
	MaySend func(doppelboden.Address) bool
	To      []intake.Recipient // all of them, blind ones too
	Size    int64              // of Body in bytes, for limits; -1: unknown
	Body    io.Reader          // the mail; its Bcc stays in the copy of the sender alone
	Peer    string             // the client's IP address, or empty
	Door    string             // by which it came, such as "webmail"
	Ret     string             // RFC 3461, section 4.3
	EnvID   string             // RFC 3461, section 4.4

	Replaces *Draft  // the draft of it, which is removed; or nil
	Answers  *Source // the mail that it answers, which gets \Answered; or nil
	Forwards *Source // the mail that it forwards, which gets $Forwarded; or nil
}

// A Draft says where a draft lies in the mailbox.
type Draft struct {
	Folder int64
	UID    uint32
}

// A Source says where a mail lies in the mailbox.
type Source struct {
	Folder int64
	UID    uint32
}

// Sent says what became of an Outgoing.
type Sent struct {
	ID    doppelboden.ID
	Again bool // it was sent before, by another call with the same key
}

// A Refused is the error of Send for recipients that cannot be written to. Nothing was sent.
type Refused struct {
	List []Refusal
}

// A Refusal says why a recipient cannot be written to.
type Refusal struct {
	Address doppelboden.Address
	Err     error // see intake.Transaction.Rcpt
}

// Error names all of them.
func (r *Refused) Error() string {
	var b strings.Builder
	for i, one := range r.List {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %v", one.Address, one.Err)
	}
	return b.String()
}

// Unwrap returns the first reason, whose code is that of all.
func (r *Refused) Unwrap() error { return r.List[0].Err }

// Send sends a mail: its deliveries and the copy in the folder of sent mail are kept in
// one commit. Then the draft goes and the source is marked; what fails of that is no error,
// for the mail is sent. Codes: those of Refused; Policy (an address that the person may not
// use, more recipients than an hour allows), Busy, StorageFull, BadMessage, TooLarge.
// Temporary says that nobody knows whether it was sent: the same key finds out.
func (b *Box) Send(ctx context.Context, o Outgoing) (Sent, error) {
	box, ok := b.room.opts.Mailbox(b.mailbox)
	if !ok {
		return Sent{}, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such mailbox"}
	}
	if o.From.IsNull() || len(o.To) == 0 {
		return Sent{}, &doppelboden.Error{Code: doppelboden.Invalid, Public: "a mail needs a sender and a recipient"}
	}
	if o.MaySend == nil {
		o.MaySend = ownOf(box)
	}
	key := b.keyOf(o.Key)
	b.room.keys.lock(key)
	defer b.room.keys.unlock(key)
	id, again, err := b.begin(ctx, o.Key)
	if err != nil {
		return Sent{}, err
	}
	if !again {
		if err := b.sendOnce(ctx, box, &o, id); err != nil {
			return Sent{}, err
		}
	}
	b.did()
	if err := b.room.opts.CatchUp(ctx); err != nil {
		b.room.opts.Log.Warn("a mail was sent and is not in the folder yet", "message", id.String(), "err", err)
		return Sent{ID: id, Again: again}, nil
	}
	b.tidy(ctx, &o)
	return Sent{ID: id, Again: again}, nil
}

// ownOf reports which addresses are those of a mailbox.
func ownOf(m doppelboden.Mailbox) func(doppelboden.Address) bool {
	return func(a doppelboden.Address) bool {
		if a.Key() == m.Address.Key() {
			return true
		}
		for _, alias := range m.Aliases {
			if a.Key() == alias.Key() {
				return true
			}
		}
		return false
	}
}

// sendOnce sends a mail whose key was not used before.
func (b *Box) sendOnce(ctx context.Context, box doppelboden.Mailbox, o *Outgoing, id doppelboden.ID) error {
	if most := b.room.opts.MaxSize; most > 0 && o.Size > most {
		return errTooLarge
	}
	if err := b.room.Allow(box, b.by, len(o.To)); err != nil {
		return err
	}
	err := b.post(ctx, o, id)
	if err != nil && doppelboden.CodeOf(err) != doppelboden.Temporary {
		b.room.rates.give(b.by, len(o.To)) // nothing was sent
	}
	return err
}

// post makes the messages of a mail and has them kept. They are several when somebody
// gets a blind copy, for that shows in the sender's copy alone, and when a recipient is of
// another administration that shares this system, for a message belongs to one.
func (b *Box) post(ctx context.Context, o *Outgoing, id doppelboden.ID) error {
	head, rest, err := readHead(o.Body)
	if err != nil {
		return err
	}
	if err := head.complete(id, o.From.Domain, b.now()); err != nil {
		return err
	}
	p := &posting{box: b, o: o, head: head}
	defer p.abort()
	if err := p.address(ctx); err != nil {
		return err
	}
	if err := p.write(rest); err != nil {
		return err
	}
	list := p.transactions()
	for i, tx := range list {
		tx.Name(part(id, i))
	}
	if _, err := b.room.opts.Intake.CommitAll(ctx, list); err != nil {
		return fmt.Errorf("keep the mail: %w", err)
	}
	for _, tx := range list {
		tx.Acked(true)
	}
	return nil
}

// part returns the id of the n-th message of a mail, which the first one's makes known.
func part(id doppelboden.ID, n int) doppelboden.ID {
	id[15] ^= byte(n)
	return id
}

// tidy removes the draft of what was sent and marks what it answers. It may be repeated.
func (b *Box) tidy(ctx context.Context, o *Outgoing) {
	var list []store.Change
	if d := o.Replaces; d != nil {
		list = append(list, store.Change{Place: b.place(d.Folder), Action: store.ActRemove, UIDs: []uint32{d.UID}})
	}
	for flag, s := range map[uint32]*Source{doppelboden.Answered: o.Answers, doppelboden.Forwarded: o.Forwards} {
		if s != nil {
			list = append(list, store.Change{Place: b.place(s.Folder), Action: store.ActFlag, UIDs: []uint32{s.UID}, Set: flag})
		}
	}
	for _, c := range list { // each on its own: the folder of one may be gone
		if _, err := b.Change(ctx, []store.Change{c}); err != nil {
			b.room.opts.Log.Warn("a mail was sent, and its draft or what it answers could not be changed", "mailbox", int64(b.mailbox), "err", err)
		}
	}
}
