package intake

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"doppelboden"
)

// addressees are the final recipients of a message under way. Its Recipients, and what
// the two counts say, make the number of deliveries: Recipients + expanded - merged.
type addressees struct {
	deliveries []doppelboden.Delivery
	here       []bool // here[i]: the copy of deliveries[i] is the delivery
	expanded   int
	merged     int
	places     map[doppelboden.BoxID]struct{} // the boxes of deliveries, once there are several
}

// add adds what a recipient leads to. Two addresses of one mailbox get one mail.
func (l *addressees) add(r Recipient, found Found) {
	l.expanded += len(found.Targets) - 1
	if l.places == nil && len(l.deliveries)+len(found.Targets) > 1 {
		l.places = make(map[doppelboden.BoxID]struct{}, len(l.deliveries)+len(found.Targets))
		for i := range l.deliveries {
			l.places[l.deliveries[i].Box] = struct{}{}
		}
	}
	for i := range found.Targets {
		to := &found.Targets[i]
		box := to.boxOf()
		// What is nobody's, or goes to the Internet, is another recipient each time.
		if to.Mailbox != 0 && l.places != nil {
			if _, twice := l.places[box]; twice {
				l.merged++
				continue
			}
			l.places[box] = struct{}{}
		}
		l.deliveries = append(l.deliveries, delivery(r, found, to, len(l.deliveries)))
		l.here = append(l.here, to.Here)
	}
}

// delivery makes the delivery of a target.
func delivery(r Recipient, found Found, to *Target, n int) doppelboden.Delivery {
	d := doppelboden.Delivery{N: n, Tenant: found.Tenant, Mailbox: to.Mailbox, Box: to.boxOf(), Recipient: r.Address,
		Notify: r.Notify, ORcpt: r.ORcpt}
	if !to.Recipient.IsNull() && to.Recipient != r.Address {
		d.Recipient = to.Recipient
		// RFC 3461, section 5.2.7.2: who sent it learns of the address that it wrote, not
		// of those behind it.
		d.ORcpt = cmp.Or(r.ORcpt, originalRecipient(r.Address))
		if len(found.Targets) > 1 {
			d.Notify = withoutSuccess(r.Notify)
		}
	}
	if to.Mailbox != 0 && d.Box < 0 {
		// What becomes of a second way says nothing about the mail: the sender hears of
		// the first alone (RFC 3461, section 4.1).
		d.Notify = "NEVER"
	}
	if to.Hold != "" {
		d.State, d.Reply = doppelboden.Held, to.Hold
	}
	return d
}

// withoutSuccess returns NOTIFY for one of several members behind an address: RFC 3461,
// section 5.2.7.2. A success for each would tell a stranger who is in the list.
func withoutSuccess(notify string) string {
	if notify == "" {
		return ""
	}
	words := slices.DeleteFunc(strings.Split(notify, ","), func(w string) bool { return strings.EqualFold(w, "SUCCESS") })
	return cmp.Or(strings.Join(words, ","), "NEVER")
}

// originalRecipient returns an address as ORCPT has it: RFC 3461, section 4.2, and, when it
// is not US-ASCII, RFC 6533, section 3, in the form that every server takes.
func originalRecipient(a doppelboden.Address) string {
	if a.IsASCII() {
		return "rfc822;" + doppelboden.Xtext(a.String())
	}
	var b strings.Builder
	b.WriteString("utf-8;")
	for _, c := range a.String() {
		if c > ' ' && c <= '~' && c != '+' && c != '=' && c != '\\' {
			b.WriteRune(c)
			continue
		}
		b.WriteString("\\x{" + strings.ToUpper(strconv.FormatInt(int64(c), 16)) + "}")
	}
	return b.String()
}

// fill puts the deliveries and their copies into a message.
func (l *addressees) fill(m *doppelboden.Message) {
	m.Deliveries, m.Expanded, m.Merged = l.deliveries, l.expanded, l.merged
	m.Copies = make([]doppelboden.Copy, 0, len(l.deliveries))
	for i := range m.Deliveries {
		d := &m.Deliveries[i]
		d.Message, d.Changed = m.ID, m.Received
		// Who wants to hear of the success hears of it with its settlement, by the queue.
		if l.here[i] && d.State != doppelboden.Held && !doppelboden.Notify(d.Notify, doppelboden.OnSuccess) {
			d.State = doppelboden.Delivered
			d.Reply = "kept in the mailbox here"
		}
		// A second way of a mailbox is no second copy.
		if d.Mailbox != 0 && d.Box == doppelboden.BoxID(d.Mailbox) {
			m.Copies = append(m.Copies, doppelboden.Copy{Mailbox: d.Mailbox, Folder: doppelboden.Inbox, Message: m.ID, Date: m.Received})
		}
	}
}
