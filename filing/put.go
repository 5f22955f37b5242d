package filing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/mailbox"
)

const (
	// batchMails and batchSize, in bytes, bound what is given to the server in one go and
	// lies in memory meanwhile.
	batchMails = 100
	batchSize  = 4 << 20
	// keptSize is the greatest mail that is kept in memory between measuring and sending;
	// what is larger is read twice.
	keptSize = 1 << 20
)

// errMayNot ends a mail that the node may not hand over any more.
var errMayNot = errors.New("not handed over: this node may not hand over at the moment")

// put puts the items into the folder that are not there yet, batch by batch.
func (r *run) put(ctx context.Context) {
	for len(r.out) < len(r.items) {
		if s, there := r.found[r.items[len(r.out)].Delivery.Message]; there {
			// An answer without an attempt: it is the answer to the earlier one.
			r.opts.Courier.Tally.Answer(r.took(phaseFound, s.UID))
			continue
		}
		mails, unfit := r.gather()
		switch {
		case len(mails) == 0:
			r.unfit(unfit)
			return
		case !r.send(ctx, mails):
			return
		}
	}
}

// gather prepares the next mails, up to one that is there already, that is not fit to be
// sent, or beyond which it is too much for one batch.
func (r *run) gather() (mails []mailbox.Mail, unfit error) {
	total := int64(0)
	for i := len(r.out); i < len(r.items) && len(mails) < batchMails; i++ {
		m := r.items[i].Message
		if _, there := r.found[m.ID]; there {
			break
		}
		if len(mails) > 0 && total+m.Body.Size > batchSize {
			break
		}
		size, kept, err := r.measure(m)
		if err != nil {
			return mails, err
		}
		total += size
		mails = append(mails, mailbox.Mail{Date: m.Received, Flags: r.lying[m.ID].Flags, Size: size, Open: func() (io.ReadCloser, error) {
			if err := r.attempt(i); err != nil {
				return nil, err
			}
			return r.text(m, kept)
		}})
	}
	return mails, nil
}

// attempt notes that the i-th item is about to be sent; it is not when the node may not.
func (r *run) attempt(i int) error {
	c := &r.opts.Courier
	if !c.MayDot() {
		return errMayNot
	}
	d := &r.items[i].Delivery
	c.Tally.Attempt([]doppelboden.Ref{{Message: d.Message, N: d.N}}, r.lane, c.Clock())
	r.tried = max(r.tried, i+1)
	return nil
}

// send gives one batch to the server, and reports whether all of it is there.
func (r *run) send(ctx context.Context, mails []mailbox.Mail) bool {
	c, first := &r.opts.Courier, len(r.out)
	uids, err := r.session.Append(ctx, mails)
	for _, uid := range uids {
		c.Tally.Answer(r.took(phaseAppend, uid))
	}
	r.filed(ctx, first, first+len(uids))
	if len(uids) == len(mails) {
		return true
	}
	if err == nil {
		err = errors.New("the server took less than it was given")
	}
	r.out = append(r.out, r.refusal(err))
	// An attempt has one answer, also where the server was told of several mails at once.
	for i := len(r.out) - 1; i < min(r.tried, first+len(mails)); i++ {
		o := r.out[len(r.out)-1]
		o.Ref = doppelboden.Ref{Message: r.items[i].Delivery.Message, N: r.items[i].Delivery.N}
		c.Tally.Answer(o)
	}
	return false
}

// refusal returns the outcome of the next item, which the server has not taken.
func (r *run) refusal(err error) doppelboden.Outcome {
	o := r.outcome(len(r.out), doppelboden.Later, doppelboden.AboutRoute, phaseAppend, err.Error())
	said, answered := mailbox.Said(err)
	switch {
	case mailbox.InDoubt(err):
		o.InDoubt = true
	case doppelboden.CodeOf(err) == doppelboden.Policy:
		o.Verdict, o.Scope = doppelboden.Refused, doppelboden.AboutMessage
	case answered && notAllowed[said.Code]:
	case answered && (said.Code != "" || aboutSpace(said.Text)):
		o.Scope = doppelboden.AboutRecipient // it is full, or in use
	case answered:
		// A server that does not like a mail has no code for that. When it goes on, the mails
		// behind it must not wait for ever.
		o.Scope = doppelboden.AboutMessage
	}
	if answered {
		o.Reply.Text = courier.Harmless(said.Text)
	}
	return o
}

// aboutSpace reports whether an answer without a code says that a mailbox is full.
func aboutSpace(text string) bool {
	text = strings.ToLower(text)
	for _, word := range [...]string{"quota", "full", "space", "storage"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// notAllowed are the answers of a server that lets nobody put anything into any mailbox, or
// that is ill: RFC 5530, section 3. They are about us, not about one mailbox.
var notAllowed = map[string]bool{"NOPERM": true, "CONTACTADMIN": true, "SERVERBUG": true, "UNAVAILABLE": true, "LIMIT": true}

// unfit makes the next item one that cannot be sent as it is.
func (r *run) unfit(err error) {
	if courier.Unfit(err) {
		r.fail(doppelboden.Refused, doppelboden.AboutMessage, phaseAppend, err.Error())
		return
	}
	r.fail(doppelboden.Later, doppelboden.AboutMessage, phaseAppend, "body cannot be read: "+err.Error())
}

// measure returns the size of a message as it is put into mailboxes, and its text when that
// is small.
func (r *run) measure(m *doppelboden.Message) (size int64, kept []byte, err error) {
	rest, err := r.text(m, nil)
	if err != nil {
		return 0, nil, err
	}
	defer rest.Close()
	if m.Body.Size > keptSize {
		size, err = io.Copy(io.Discard, rest)
		return size, nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, len(m.Prefix)+int(m.Body.Size)+512))
	size, err = b.ReadFrom(rest)
	return size, b.Bytes(), err
}

// text reads a message as it is put into mailboxes; kept is what measure kept of it.
func (r *run) text(m *doppelboden.Message, kept []byte) (io.ReadCloser, error) {
	if kept != nil {
		return io.NopCloser(bytes.NewReader(kept)), nil
	}
	t := r.texts.Get().(*courier.Text)
	if err := t.Open(r.opts.Courier, m); err != nil {
		t.Close()
		r.texts.Put(t)
		return nil, err
	}
	return &borrowed{Reader: io.MultiReader(strings.NewReader(returnPath(m.Sender)), t), text: t, filer: r.Filer}, nil
}

// A borrowed reads a text that goes back to its filer.
type borrowed struct {
	io.Reader
	text  *courier.Text
	filer *Filer
}

// Close gives the text back. It may be called more than once.
func (b *borrowed) Close() error {
	if b.text != nil {
		b.text.Close()
		b.filer.texts.Put(b.text)
		b.text = nil
	}
	return nil
}

// returnPath is the line that who delivers finally puts before a mail: RFC 5321, section
// 4.4. An address that is not one line has none.
func returnPath(sender doppelboden.Address) string {
	s := sender.String()
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return ""
		}
	}
	return "Return-Path: <" + s + ">\r\n"
}
