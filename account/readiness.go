package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A Ready says how many people of a department could log in now without the directory. It
// holds nothing about when somebody did.
type Ready struct {
	Department string `json:"department"`
	People     int    `json:"people"`
	Ready      int    `json:"ready"`    // who could
	Password   int    `json:"password"` // has a password of her own, or one of the directory that was kept
	Passkey    int    `json:"passkey"`
	TOTP       int    `json:"totp"`
	Code       int    `json:"code"` // has a code that was not used yet
	// InAttack is who could even if the directory were not believed: whose password or key was
	// set without the directory's word, or who has a code.
	InAttack int `json:"in_attack"`
	// Missing are those who could not, by name; Doubtful those who could not in an attack.
	Missing  []Person `json:"-"`
	Doubtful []Person `json:"-"`
}

// Percent is the share of people who could log in, rounded down: 100 means everybody.
func (d *Ready) Percent() int {
	if d.People == 0 {
		return 100
	}
	return d.Ready * 100 / d.People
}

// PercentInAttack is the share of people who could log in during an attack.
func (d *Ready) PercentInAttack() int {
	if d.People == 0 {
		return 100
	}
	return d.InAttack * 100 / d.People
}

// Readiness counts a tenant's people by department, in the order of their names.
func (r *Room) Readiness(ctx context.Context, t doppelboden.TenantID) ([]Ready, error) {
	now := r.opts.Clock()
	distrusted, err := r.Distrusted(ctx, t)
	if err != nil {
		return nil, err
	}
	has := map[doppelboden.MailboxID]map[string]bool{}
	stays := map[doppelboden.MailboxID]bool{} // she could log in if the directory were not believed
	f := store.CredentialFilter{Tenant: t, Live: true, Kinds: append([]string{kindPassword, kindDirectory, kindPasskey, kindTOTP}, codeKinds...)}
	err = r.opts.Store.Credentials(ctx, f, func(c store.Credential) error {
		if !c.Until.IsZero() && !now.Before(c.Until) || distrusted && c.Kind == kindDirectory {
			return nil
		}
		if has[c.Person] == nil {
			has[c.Person] = map[string]bool{}
		}
		has[c.Person][c.Kind] = true
		stays[c.Person] = stays[c.Person] || c.Kind != kindTOTP && !fromDirectory(&c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read who can log in: %w", err)
	}
	var all []Ready
	for _, p := range r.People(t, "*") {
		if len(all) == 0 || !strings.EqualFold(all[len(all)-1].Department, p.Department) {
			all = append(all, Ready{Department: p.Department})
		}
		all[len(all)-1].add(p, has[p.Mailbox], stays[p.Mailbox])
	}
	return all, nil
}

// add counts a person who has credentials of some kinds, of which some stay good in an attack.
func (d *Ready) add(p Person, has map[string]bool, stays bool) {
	d.People++
	code := slices.ContainsFunc(codeKinds, func(kind string) bool { return has[kind] })
	password := has[kindPassword] || has[kindDirectory]
	for _, one := range []struct {
		so bool
		n  *int
	}{{password, &d.Password}, {has[kindPasskey], &d.Passkey}, {has[kindTOTP], &d.TOTP}, {code, &d.Code}} {
		if one.so {
			*one.n++
		}
	}
	// A one-time password alone lets nobody in.
	if password || has[kindPasskey] || code {
		d.Ready++
		if stays {
			d.InAttack++
		} else {
			d.Doubtful = append(d.Doubtful, p)
		}
	} else {
		d.Missing = append(d.Missing, p)
	}
}

// remindAtOnce bounds the reminders of one round, so that a city's groupware does not get
// thousands of mails in one minute.
const remindAtOnce = 200

// Remind writes to people who could not log in without the directory, in cities that want
// that and while there is no event: each at most once in the weeks that city.toml says. It
// returns to how many, and should run every hour.
func (r *Room) Remind(ctx context.Context) (int, error) {
	told := 0
	for _, t := range r.opts.Directory().Tenants() {
		conf, ok := r.accounts(t.ID)
		if !ok || conf.RemindWeeks == 0 || r.opts.Mail == nil || r.opts.Events.Now(t.ID) {
			continue
		}
		n, err := r.remind(ctx, t.ID, time.Duration(conf.RemindWeeks)*7*24*time.Hour)
		told += n
		if err != nil {
			return told, err
		}
	}
	return told, nil
}

func (r *Room) remind(ctx context.Context, t doppelboden.TenantID, pause time.Duration) (told int, err error) {
	last := map[doppelboden.MailboxID]time.Time{}
	err = r.opts.Store.Memos(ctx, t, memoReminded, func(m store.Memo) error {
		last[m.Mailbox] = m.At
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read who was reminded: %w", err)
	}
	ready, err := r.Readiness(ctx, t)
	if err != nil {
		return 0, err
	}
	now := r.opts.Clock()
	for _, d := range ready {
		for _, p := range d.Missing {
			if at, was := last[p.Mailbox]; was && now.Sub(at) < pause {
				continue
			}
			if told == remindAtOnce {
				return told, nil
			}
			// First the memo: a mail less is better than one with every round.
			if err := r.opts.Store.PutMemos(ctx, []store.Memo{{Tenant: t, Mailbox: p.Mailbox, What: memoReminded, At: now}}); err != nil {
				return told, fmt.Errorf("note who was reminded: %w", err)
			}
			r.tell(ctx, p, reminder(p, r.Page(t)))
			told++
		}
	}
	return told, nil
}

func reminder(p Person, page string) text {
	if p.Language == "en" {
		return text{"Please set up your emergency mailbox", fmt.Sprintf("Hello %s,\n\nif our mail system fails one day, you go on working at %s. For that you need a code, which you do not have yet.\n\n"+
			"Ask your IT or the head of your department for your sheet. It takes two minutes.\n", called(p), page)}
	}
	return text{"Bitte richten Sie Ihr Notfall-Postfach ein", fmt.Sprintf("Guten Tag %s,\n\nwenn unsere E-Mail einmal ausfällt, arbeiten Sie unter %s weiter. Dafür brauchen Sie einen Code, und den haben Sie noch nicht.\n\n"+
		"Fragen Sie Ihre IT oder Ihre Leitung nach Ihrem Blatt. Es dauert zwei Minuten.\n", called(p), page)}
}

const (
	// untouchedAfter is how long nobody may open a mailbox in an event before others hear
	// of it.
	untouchedAfter = 24 * time.Hour
	// openedEvery is how precisely it is remembered when a mailbox was opened: enough for
	// that, and too coarse to watch people by.
	openedEvery = 6 * time.Hour
)

// Opened tells that somebody has opened a mailbox. It is remembered while an event lasts,
// to some hours, and by nobody's name.
func (r *Room) Opened(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) {
	now := r.opts.Clock().Truncate(openedEvery)
	r.mu.Lock()
	known := r.opened[m].Equal(now)
	r.opened[m] = now
	r.mu.Unlock()
	if known || !r.opts.Events.Now(t) {
		return
	}
	if err := r.opts.Store.PutMemos(ctx, []store.Memo{{Tenant: t, Mailbox: m, What: memoOpened, At: now}}); err != nil {
		r.opts.Log.WarnContext(ctx, "cannot note that a mailbox is read", "err", err)
		r.mu.Lock()
		delete(r.opened, m)
		r.mu.Unlock()
	}
}

// Untouched tells the deputies of mailboxes that nobody has opened for a day of an event,
// and their department: the function mailboxes and heads of the same name. It returns of how
// many, tells of each once in an event, and should run every hour.
func (r *Room) Untouched(ctx context.Context) (int, error) {
	told := 0
	for _, t := range r.opts.Directory().Tenants() {
		if !r.opts.Events.Now(t.ID) {
			for _, what := range []string{memoOpened, memoUntouched} {
				if err := r.opts.Store.DropMemos(ctx, t.ID, what); err != nil {
					return told, fmt.Errorf("forget which mailboxes were opened: %w", err)
				}
			}
			continue
		}
		n, err := r.untouched(ctx, t.ID)
		told += n
		if err != nil {
			return told, err
		}
	}
	return told, nil
}

// memos returns what is remembered of a tenant's mailboxes.
func (r *Room) memos(ctx context.Context, t doppelboden.TenantID, what string) (map[doppelboden.MailboxID]time.Time, error) {
	all := map[doppelboden.MailboxID]time.Time{}
	err := r.opts.Store.Memos(ctx, t, what, func(m store.Memo) error {
		all[m.Mailbox] = m.At
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is remembered of mailboxes: %w", err)
	}
	return all, nil
}

func (r *Room) untouched(ctx context.Context, t doppelboden.TenantID) (told int, err error) {
	opened, err := r.memos(ctx, t, memoOpened)
	if err != nil {
		return 0, err
	}
	known, err := r.memos(ctx, t, memoUntouched)
	if err != nil {
		return 0, err
	}
	now, d := r.opts.Clock(), r.opts.Directory()
	lonely := map[string][]doppelboden.Mailbox{} // by whom it is told to
	for id, since := range r.opts.Events.Concerned(t) {
		m, ok := d.Mailbox(id)
		last := opened[id]
		if last.Before(since) {
			last = since
		}
		toldBefore := !known[id].IsZero() && !known[id].Before(since)
		if !ok || m.Tenant != t || !m.Gone.IsZero() || m.Kind == doppelboden.List || toldBefore || now.Sub(last) < untouchedAfter {
			continue
		}
		if err := r.opts.Store.PutMemos(ctx, []store.Memo{{Tenant: t, Mailbox: id, What: memoUntouched, At: now}}); err != nil {
			return told, fmt.Errorf("note that it was told: %w", err)
		}
		people, err := r.answerable(ctx, m)
		if err != nil {
			return told, err
		}
		for _, a := range people {
			lonely[a.String()] = append(lonely[a.String()], m)
		}
		told++
	}
	return told, r.tellLonely(ctx, lonely)
}

// answerable returns who hears that nobody opens a mailbox: its deputies and owners, the
// heads of its department, and the department's function mailboxes.
func (r *Room) answerable(ctx context.Context, m doppelboden.Mailbox) ([]doppelboden.Address, error) {
	var all []doppelboden.Address
	add := func(id doppelboden.MailboxID) {
		box, ok := r.opts.Directory().Mailbox(id)
		if ok && id != m.ID && box.Tenant == m.Tenant && box.Gone.IsZero() && !slices.Contains(all, box.Address) {
			all = append(all, box.Address)
		}
	}
	now := r.opts.Clock()
	list, err := r.Belongings(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	for _, b := range list {
		if b.Until.IsZero() || now.Before(b.Until) {
			add(b.Person)
		}
	}
	if m.Department == "" {
		return all, nil
	}
	roles, err := r.Roles(ctx, m.Tenant, 0)
	if err != nil {
		return nil, err
	}
	for _, role := range roles {
		if role.Name == RoleHead && strings.EqualFold(role.Department, m.Department) {
			add(role.Person)
		}
	}
	for box := range r.opts.Directory().All() {
		if box.Kind == doppelboden.Function && box.Tenant == m.Tenant && strings.EqualFold(box.Department, m.Department) {
			add(box.ID)
		}
	}
	return all, nil
}

// tellLonely writes one mail to each who has to hear of mailboxes that nobody opens.
func (r *Room) tellLonely(ctx context.Context, lonely map[string][]doppelboden.Mailbox) error {
	for to, boxes := range lonely {
		a, err := doppelboden.ParseAddress(to)
		if err != nil {
			return fmt.Errorf("read an address of ours: %w", err)
		}
		id, ok := r.opts.Directory().Holder(a)
		if !ok {
			continue
		}
		m, _ := r.opts.Directory().Mailbox(id)
		conf, _ := r.accounts(m.Tenant)
		notice := lonelyText(conf.Language, boxes)
		r.tell(ctx, Person{Tenant: m.Tenant, Mailbox: id, Address: a}, notice)
		if r.opts.Notifier != nil && m.Phone != "" {
			if err := r.opts.Notifier.Send(ctx, m.Tenant, m.Phone, notice.subject); err != nil {
				r.opts.Log.WarnContext(ctx, "somebody cannot be told by SMS", "mailbox", int64(id), "err", err)
			}
		}
	}
	return nil
}

func lonelyText(language string, boxes []doppelboden.Mailbox) text {
	var list strings.Builder
	for _, m := range boxes {
		fmt.Fprintf(&list, "  %s  %s\n", m.Address, oneLine(m.Name, 60))
	}
	if len(boxes) == 1 {
		return lonelyOne(language, list.String())
	}
	if language == "en" {
		return text{fmt.Sprintf("%d emergency mailboxes have not been opened for a day", len(boxes)),
			"Nobody has opened these mailboxes for 24 hours of the outage:\n\n" + list.String() + "\nPlease see that somebody looks after them. Deputies find them in their own emergency mailbox.\n"}
	}
	return text{fmt.Sprintf("%d Notfall-Postfächer wurden seit einem Tag nicht geöffnet", len(boxes)),
		"Diese Postfächer hat seit 24 Stunden der Störung niemand geöffnet:\n\n" + list.String() + "\nBitte sorgen Sie dafür, dass sich jemand darum kümmert. Vertretungen finden sie in ihrem eigenen Notfall-Postfach.\n"}
}

// lonelyOne is lonelyText for one mailbox.
func lonelyOne(language, line string) text {
	if language == "en" {
		return text{"An emergency mailbox has not been opened for a day",
			"Nobody has opened this mailbox for 24 hours of the outage:\n\n" + line + "\nPlease see that somebody looks after it. Deputies find it in their own emergency mailbox.\n"}
	}
	return text{"Ein Notfall-Postfach wurde seit einem Tag nicht geöffnet",
		"Dieses Postfach hat seit 24 Stunden der Störung niemand geöffnet:\n\n" + line + "\nBitte sorgen Sie dafür, dass sich jemand darum kümmert. Vertretungen finden es in ihrem eigenen Notfall-Postfach.\n"}
}
