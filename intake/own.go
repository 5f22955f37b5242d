package intake

import (
	"bytes"
	"context"
	"net/mail"
	"strings"

	"doppelboden"
	"doppelboden/store"
)

// An Own is one of the city's own senders: the groupware, an application, a device. The
// door has made sure that it is who it says.
type Own struct {
	Tenant doppelboden.TenantID
	Name   string // within the tenant
	// MaySend reports whether the sender may write in the name of an address; nil: of
	// any, as groupware that forwards mail must.
	MaySend func(doppelboden.Address) bool
	// Home reports whether an address belongs to the sender's tenant. Who may send in
	// anybody's name forwards strangers' mail too, and has confirmed only these.
	Home func(doppelboden.Address) bool
	// Person says that people write by this sender: nobody learns from where, and the mail is
	// ours from the start, also where others pass through.
	Person bool
	// Allow is asked, before a mail is kept, whether so many more recipients are well; nil:
	// always. Its error is the answer.
	Allow func(recipients int) error
	// SentBy returns the mailbox that shows what is written in the name of an address among
	// its sent mail; nil, or false: none does.
	SentBy func(doppelboden.Address) (doppelboden.MailboxID, bool)
}

// isPerson reports whether people write by this sender.
func (o *Own) isPerson() bool { return o != nil && o.Person }

// confirms reports whether the reverse-path is this sender's own, so that DSNs may go
// there (promise 12).
func (o *Own) confirms(a doppelboden.Address) bool {
	return o.MaySend != nil || o.Home != nil && o.Home(a)
}

// mayBegin reports whether own may send with this reverse-path. The null reverse-path is
// everybody's: DSNs and vacation replies have no other.
func (o *Own) mayBegin(sender doppelboden.Address) error {
	if sender.IsNull() || o.MaySend == nil || o.MaySend(sender) {
		return nil
	}
	return &doppelboden.Error{Code: doppelboden.Policy, Public: "you may not send in the name of this address"}
}

// names are the fields that say in whose name a mail is: RFC 5322, sections 3.6.2 and 3.6.6.
// For machines only From counts: some name the program that wrote for them. A mail program of
// people that names somebody else as its sender claims to be her.
func (o *Own) names() []string {
	if o.Person {
		return []string{"From", "Sender", "Resent-From", "Resent-Sender"}
	}
	return []string{"From"}
}

// mayWrite reports whether own may send a mail with this From: RFC 6409, section 6.1. A
// mail without From gets one (see repair).
func (o *Own) mayWrite(header []byte) error {
	if o.MaySend == nil {
		return nil
	}
	var bad error
	eachField(header, func(field []byte) {
		for _, name := range o.names() {
			if value, is := cutField(field, name); is && bad == nil {
				bad = o.mayWriteAs(name, string(unfold(value)))
			}
		}
	})
	return bad
}

// mayWriteAs reports whether own may write in the name of all addresses of a field.
func (o *Own) mayWriteAs(name, value string) error {
	list, err := mail.ParseAddressList(value)
	if err != nil || len(list) == 0 { // a group without members is shown by its name
		return &doppelboden.Error{Code: doppelboden.BadMessage, Public: "the " + name + " field cannot be read (RFC 5322, section 3.6.2)", Cause: err}
	}
	for _, one := range list {
		a, err := doppelboden.ParseAddress(one.Address)
		if err != nil || !o.MaySend(a) {
			return &doppelboden.Error{Code: doppelboden.Policy, Public: "you may not write in the name of the address in " + name}
		}
	}
	return nil
}

// sentCopy returns the copy of what the groupware sends in the name of one of its people,
// as it lies among her sent mail: the mail is hers by From, or, where that is nobody's of
// ours, by its reverse-path. What machines answer is no mail of hers.
func (o *Own) sentCopy(m *doppelboden.Message, header []byte) (doppelboden.Copy, bool) {
	if o.SentBy == nil || m.Sender.IsNull() {
		return doppelboden.Copy{}, false
	}
	var from, auto []byte
	eachField(header, func(field []byte) {
		if value, is := cutField(field, "from"); is && from == nil {
			from = value
		}
		if value, is := cutField(field, "auto-submitted"); is { // RFC 3834, section 5
			auto = bytes.TrimSpace(value)
		}
	})
	if len(auto) > 0 && !bytes.HasPrefix(bytes.ToLower(auto), []byte("no")) {
		return doppelboden.Copy{}, false
	}
	writers := []doppelboden.Address{m.Sender}
	if list, err := mail.ParseAddressList(string(unfold(from))); err == nil && len(list) > 0 {
		if a, err := doppelboden.ParseAddress(list[0].Address); err == nil {
			writers = []doppelboden.Address{a, m.Sender}
		}
	}
	for _, a := range writers {
		if box, ok := o.SentBy(a); ok {
			return doppelboden.Copy{Mailbox: box, Folder: store.FolderFor(store.UseSent), Message: m.ID, Flags: doppelboden.Seen, Date: m.Received}, true
		}
	}
	return doppelboden.Copy{}, false
}

// cutField returns the value of a header field when it has this name.
func cutField(field []byte, name string) (value []byte, is bool) {
	got, value, ok := bytes.Cut(field, []byte(":"))
	return value, ok && strings.EqualFold(string(bytes.TrimRight(got, " \t")), name)
}

// find returns who is behind an address: the city's own, or, for own senders alone,
// somebody on the Internet.
func (t *Transaction) find(ctx context.Context, a doppelboden.Address) (Found, error) {
	found, err := t.in.opts.Directory().Find(&t.env, a)
	if err == nil && len(found.Outside) > 0 {
		return t.in.reach(ctx, found)
	}
	own := t.env.Own
	if err == nil || own == nil || doppelboden.CodeOf(err) != doppelboden.Policy || t.in.opts.Internet == nil {
		return found, err
	}
	// Names without a dot and addresses in brackets are nobody's on the Internet: who
	// writes to them means a machine of the house, and nobody may reach those through us.
	if !strings.Contains(a.Domain, ".") || strings.HasPrefix(a.Domain, "[") {
		return Found{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "we send to domains of the Internet only"}
	}
	box, err := t.in.opts.Internet(ctx, own.Tenant, a.Domain)
	if err != nil {
		return Found{}, err
	}
	return Found{Tenant: own.Tenant, Targets: []Target{{Box: box}}}, nil
}
