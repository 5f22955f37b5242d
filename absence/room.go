package absence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/letter"
)

const (
	// onceIn is the time in which a sender gets one answer of a mailbox: RFC 3834, section 2.
	onceIn = 7 * 24 * time.Hour
	// hourly is how many answers a mailbox gives in an hour, and hourlyAll how many all
	// mailboxes of a node do. A person's busiest hour is well below.
	hourly, hourlyAll = 60, 2000
	// mostWaiting is how many mails may wait for an answer. Who comes after them gets none.
	mostWaiting = 5000
	// tooLate is after what time an answer says nothing any more: the mail lay while the
	// database was away.
	tooLate = 4 * time.Hour
	// knownFor is how long a setting counts as known; another node may have changed it.
	knownFor = 20 * time.Second
	// mostKnown bounds how many settings are known.
	mostKnown = 20000
)

// Options say what a Room works with. All must be set unless a default is named.
type Options struct {
	// Serves reports whether mail for a mailbox is answered from here: it is used here, and
	// no groupware answers. It is asked for every mail, and costs nothing.
	Serves func(m doppelboden.MailboxID) bool
	// Setting returns what a mailbox's people have set; the zero value when nothing.
	Setting func(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (Setting, error)
	// Claim notes on the disk that somebody gets an answer, unless that is noted already; see
	// store.ClaimSlip.
	Claim func(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, key string, at, until time.Time) (bool, error)
	// Mailbox returns what the directory knows of a mailbox.
	Mailbox func(doppelboden.MailboxID) (doppelboden.Mailbox, bool)
	// Read reads a mail as it came.
	Read func(m *doppelboden.Message) (io.ReadCloser, error)
	// Answer makes an answer; intake.Returner.Answer.
	Answer func(ctx context.Context, a intake.Answer) (sent bool, err error)
	// NewID returns an ID for a message.
	NewID func() doppelboden.ID
	// Older returns when the database last came back older than it was: it may have forgotten
	// who had an answer.
	Older    func() time.Time
	Language func(doppelboden.MailboxID) string
	Hostname string
	Log      *slog.Logger
	Registry prometheus.Registerer
	Clock    func() time.Time // in the zone of the people; default time.Now
}

func (o *Options) validate() error {
	if o.Serves == nil || o.Setting == nil || o.Claim == nil || o.Mailbox == nil || o.Read == nil || o.Answer == nil || o.NewID == nil ||
		o.Older == nil || o.Language == nil || o.Hostname == "" || o.Log == nil || o.Registry == nil {
		return errors.New("absence: an option is not set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return nil
}

// A Room answers mail for people who are away.
type Room struct {
	opts    Options
	wake    chan struct{} // holds at most one wake-up
	replies *prometheus.CounterVec

	mu      sync.Mutex
	waiting []candidate
	known   map[doppelboden.MailboxID]known
	hour    time.Time                       // which is being counted
	given   map[doppelboden.MailboxID]int64 // answers in it; 0 counts all
}

// A candidate is a mail that may get an answer of a mailbox.
type candidate struct {
	mail *doppelboden.Message // without deliveries and copies
	box  doppelboden.MailboxID
}

// A known setting is one that was read.
type known struct {
	setting Setting
	at      time.Time
}

// New returns a room that does nothing until Run.
func New(o Options) (*Room, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &Room{opts: o, wake: make(chan struct{}, 1), known: map[doppelboden.MailboxID]known{}, given: map[doppelboden.MailboxID]int64{},
		replies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_absence_mails_total",
			Help: "Mails for people who are away, by what came of it: answered, or why there was no answer.",
		}, []string{"outcome"})}
	if err := o.Registry.Register(r.replies); err != nil {
		return nil, fmt.Errorf("absence: %w", err)
	}
	return r, nil
}

// Arrived tells of mail that is in the database now. It never waits and reads nothing.
func (r *Room) Arrived(list []*doppelboden.Message) {
	var found []candidate
	for _, m := range list {
		if byEnvelope(m) == "" {
			found = r.pick(found, m)
		}
	}
	if len(found) == 0 {
		return
	}
	r.mu.Lock()
	room := min(max(mostWaiting-len(r.waiting), 0), len(found))
	r.waiting = append(r.waiting, found[:room]...)
	r.mu.Unlock()
	r.replies.WithLabelValues("too many").Add(float64(len(found) - room))
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// pick adds the mailboxes that may answer a mail.
func (r *Room) pick(found []candidate, m *doppelboden.Message) []candidate {
	var mail *doppelboden.Message
	own := len(found)
	for i := range m.Deliveries {
		d := &m.Deliveries[i]
		if d.Mailbox == 0 || d.State == doppelboden.Held || !r.opts.Serves(d.Mailbox) {
			continue
		}
		if mail == nil {
			one := *m
			one.Deliveries, one.Copies = nil, nil
			mail = &one
		}
		c := candidate{mail, d.Mailbox}
		if !slices.Contains(found[own:], c) { // a second way of a mailbox
			found = append(found, c)
		}
	}
	return found
}

// Forget has a mailbox's setting read again: it was just changed.
func (r *Room) Forget(m doppelboden.MailboxID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, m)
}

// Run answers until ctx ends. What waits then gets no answer.
func (r *Room) Run(ctx context.Context) {
	for {
		r.work(ctx)
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
	}
}

// work answers until nothing waits, or ctx ends.
func (r *Room) work(ctx context.Context) {
	for ctx.Err() == nil {
		c, ok := r.next()
		if !ok {
			return
		}
		outcome, err := r.one(ctx, c)
		if err != nil {
			r.opts.Log.Warn("a mail gets no out-of-office answer", "message", c.mail.ID.String(), "mailbox", int64(c.box), "err", err)
			outcome = "failed"
		}
		if outcome != "" {
			r.replies.WithLabelValues(outcome).Inc()
		}
	}
}

// next takes the mail that has waited for longest.
func (r *Room) next() (c candidate, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.waiting = nil // what it held may have been many
		return candidate{}, false
	}
	c, r.waiting = r.waiting[0], r.waiting[1:]
	return c, true
}

// one answers a mail, or says why not: "" when nobody is away.
func (r *Room) one(ctx context.Context, c candidate) (outcome string, err error) {
	now := r.opts.Clock()
	s, err := r.setting(ctx, c.mail.Tenant, c.box, now)
	if err != nil {
		return "", err
	}
	came := c.mail.Received.In(now.Location())
	if !s.Covers(came) || !r.opts.Serves(c.box) {
		return "", nil
	}
	if now.Sub(came) > tooLate || came.Before(r.opts.Older()) {
		return "too late", nil
	}
	box, ok := r.opts.Mailbox(c.box)
	if !ok || box.Kind == doppelboden.List || box.Tenant != c.mail.Tenant {
		return "", nil
	}
	if isMachine(c.mail.Sender) {
		return string(machine), nil
	}
	l, err := r.header(c.mail)
	if err != nil {
		return "", err
	}
	if l == nil {
		return string(unreadable), nil
	}
	if reason := byHeader(l); reason != "" {
		return string(reason), nil
	}
	from, ok := named(l, box)
	if !ok {
		return string(unnamed), nil
	}
	if whoseIs(c.mail.Sender) == box.Address.Key() || slices.ContainsFunc(box.Aliases, func(a doppelboden.Address) bool { return a.Key() == whoseIs(c.mail.Sender) }) {
		return string(machine), nil // her own mail to herself
	}
	return r.give(ctx, c, &answer{id: r.opts.NewID(), hostname: r.opts.Hostname, name: box.Name, from: from, to: c.mail.Sender, date: now,
		setting: s, language: r.opts.Language(c.box), original: l.Summary()})
}

// give has the answer made, when the sender has none yet.
func (r *Room) give(ctx context.Context, c candidate, a *answer) (outcome string, err error) {
	if !r.may(c.box, a.date) {
		return "too many", nil
	}
	// The claim is on the disk before there is an answer: a crash between the two, or an error
	// whose outcome is unknown, costs the sender the answer and never gives him two.
	claimed, err := r.opts.Claim(ctx, c.mail.Tenant, c.box, keyOf(c.mail.Sender), a.date, a.date.Add(onceIn))
	if err != nil {
		return "", fmt.Errorf("note the answer: %w", err)
	}
	if !claimed {
		return "had one", nil
	}
	r.count(c.box)
	eight := !a.from.IsASCII() || !a.to.IsASCII()
	sent, err := r.opts.Answer(ctx, intake.Answer{ID: a.id, About: c.mail, Write: a.write, SMTPUTF8: eight})
	if err != nil {
		return "", err
	}
	if !sent {
		return "no way", nil
	}
	return "answered", nil
}

// keyOf is what stands on the disk for a sender: nothing that says who wrote.
func keyOf(sender doppelboden.Address) string {
	sum := sha256.Sum256([]byte(whoseIs(sender)))
	return hex.EncodeToString(sum[:16])
}

// may reports whether a mailbox may give one more answer in this hour.
func (r *Room) may(m doppelboden.MailboxID, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hour := now.Truncate(time.Hour); !hour.Equal(r.hour) {
		r.hour, r.given = hour, map[doppelboden.MailboxID]int64{}
	}
	return r.given[m] < hourly && r.given[0] < hourlyAll
}

// count counts an answer.
func (r *Room) count(m doppelboden.MailboxID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given[m]++
	r.given[0]++
}

// setting returns what is set for a mailbox.
func (r *Room) setting(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, now time.Time) (Setting, error) {
	r.mu.Lock()
	k, ok := r.known[m]
	r.mu.Unlock()
	if age := now.Sub(k.at); ok && age >= 0 && age < knownFor {
		return k.setting, nil
	}
	s, err := r.opts.Setting(ctx, t, m)
	if err != nil {
		return Setting{}, fmt.Errorf("read the absence: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= mostKnown {
		clear(r.known)
	}
	r.known[m] = known{s, now}
	return s, nil
}

// header reads the header of a mail; nil when it is too long.
func (r *Room) header(m *doppelboden.Message) (*letter.Letter, error) {
	body, err := r.opts.Read(m)
	if err != nil {
		return nil, fmt.Errorf("read the mail: %w", err)
	}
	defer body.Close() // what is read is checked as it is read
	text, err := io.ReadAll(io.LimitReader(body, mostHeader))
	if err != nil {
		return nil, fmt.Errorf("read the mail: %w", err)
	}
	end := bytes.Index(text, []byte("\r\n\r\n"))
	if end < 0 && len(text) == mostHeader {
		return nil, nil
	}
	if end >= 0 {
		text = text[:end+4]
	}
	return letter.Parse(bytes.NewReader(text), letter.Limits{})
}
