package app

import (
	"context"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/city"
	"doppelboden/clock"
	"doppelboden/directory"
	"doppelboden/event"
	"doppelboden/intake"
)

// openAccounts makes the room that lets people in.
func (n *Node) openAccounts() error {
	var err error
	n.accounts, err = account.New(account.Options{
		Store: n.store, Directory: n.house.Directory, Keys: n.ring, Log: n.log, Clock: n.clock,
		Page: n.page, Events: emergencies{n}, Mailboxes: n.harvest, Verify: n.verify, Mail: n.tellPerson, Notifier: n.sms,
	})
	return err
}

// careEvery is the time between two rounds that look after accounts.
const careEvery = time.Hour

// careForAccounts removes sessions that have ended, reminds people, and tells of mailboxes
// that nobody opens.
func (n *Node) careForAccounts(ctx context.Context) {
	clock.Every(ctx, n.opts.Timer, careEvery, func() {
		err := n.accounts.Sweep(ctx)
		told, reminding := n.accounts.Remind(ctx)
		lonely, looking := n.accounts.Untouched(ctx)
		for what, err := range map[string]error{"sessions that have ended cannot be removed": err,
			"people cannot be reminded": reminding, "nobody can be told of mailboxes that are not opened": looking} {
			if err != nil && ctx.Err() == nil {
				n.log.Error(what, "err", err)
			}
		}
		if told > 0 || lonely > 0 {
			n.log.Info("people were told about emergency mailboxes", "reminded", told, "mailboxes not opened", lonely)
		}
	})
}

// page is the address of the emergency page where city.toml names none.
func (n *Node) page() string {
	host, port, err := net.SplitHostPort(n.opts.Node.Web)
	if at := n.listeners["web"]; at != "" {
		_, port, err = net.SplitHostPort(at)
	}
	if err != nil || port == "443" {
		return "https://" + n.opts.Node.Hostname
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return "https://localhost:" + port
	}
	return "https://" + net.JoinHostPort(n.opts.Node.Hostname, port)
}

// emergencies tell account what it needs to know of events.
type emergencies struct{ n *Node }

// Now implements account.Events.
func (e emergencies) Now(t doppelboden.TenantID) bool {
	name := e.n.house.Directory().TenantName(t)
	for _, s := range e.n.events.Open() {
		if s.Tenant == name && s.State != event.Planned {
			return true
		}
	}
	return e.n.modes.Any(t) // nobody is thrown out when it is over
}

// Concerned implements account.Events.
func (e emergencies) Concerned(t doppelboden.TenantID) map[doppelboden.MailboxID]time.Time {
	all := map[doppelboden.MailboxID]time.Time{}
	for _, id := range e.n.events.Concerned() {
		if m, ok := e.n.house.Directory().Mailbox(id); !ok || m.Tenant != t {
			continue
		}
		if _, since, in := e.n.events.InOutage(id); in {
			all[id] = since
		}
	}
	return all
}

// verify asks a tenant's directories whether a password is right. What is known is that it
// is right in one, or in none of them.
func (n *Node) verify(ctx context.Context, t city.Tenant, a doppelboden.Address, password string) (bool, error) {
	if len(t.Directories) == 0 {
		return false, fmt.Errorf("the tenant %s has no directory", t.Name)
	}
	for _, l := range t.Directories {
		o := directory.Options{LDAP: l, Password: func() (string, error) { return n.secret(l.Password) }}
		if l.CA != "" {
			o.CA = n.keyFile(l.CA)
		}
		right, err := directory.NewSource(o).Verify(ctx, a, password)
		if err != nil {
			return false, fmt.Errorf("directory %s: %w", l.Name, err)
		}
		if right {
			return true, nil
		}
	}
	return false, nil
}

// tellPerson writes a mail to somebody's mailbox: RFC 5322, and RFC 3834, section 5, so that
// no out-of-office reply answers it.
func (n *Node) tellPerson(ctx context.Context, note account.Notice) error {
	from := n.returner.From(note.Tenant)
	if from.IsNull() {
		return fmt.Errorf("the tenant %d has no postmaster", note.Tenant)
	}
	id := n.intake.NewID()
	return n.returner.Letter(ctx, intake.Letter{ID: id, Tenant: note.Tenant, To: note.To, Write: func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join([]string{
			"From: <" + from.String() + ">",
			"To: <" + note.To.String() + ">",
			"Subject: " + mime.QEncoding.Encode("utf-8", note.Subject),
			"Date: " + n.clock().Format(time.RFC1123Z),
			"Message-ID: <" + id.String() + "@" + n.opts.Node.Hostname + ">",
			"Auto-Submitted: auto-generated",
			"MIME-Version: 1.0",
			"Content-Type: text/plain; charset=utf-8",
			"Content-Transfer-Encoding: quoted-printable",
			"", ""}, "\r\n"))
		if err != nil {
			return err
		}
		q := quotedprintable.NewWriter(w)
		if _, err := io.WriteString(q, strings.ReplaceAll(note.Text, "\n", "\r\n")); err != nil {
			return err
		}
		return q.Close()
	}})
}
