package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/queue"
	"doppelboden/store"
)

// A Choice says which deliveries a command is about; its zero value chooses all.
type Choice struct {
	State  string `json:"state,omitempty"`  // queued or held; empty: both
	Tenant string `json:"tenant,omitempty"` // by name
	Route  string `json:"route,omitempty"`  // tenant/name, or name when only one tenant has it
	To     string `json:"to,omitempty"`     // address of a mailbox
	Domain string `json:"domain,omitempty"` // of the Internet, to which mail goes
	ID     string `json:"id,omitempty"`     // of a message, a receipt, or id/n for one delivery
	Group  string `json:"group,omitempty"`  // see Group
}

// A Waiting is a delivery that is queued or held.
type Waiting struct {
	Message   doppelboden.ID      `json:"message"`
	N         int                 `json:"n"`
	Receipt   doppelboden.Receipt `json:"receipt"`
	State     string              `json:"state"`
	Scan      string              `json:"scan,omitempty"` // what scanners said, as doppelboden.ScanState; empty when none was asked
	Tenant    string              `json:"tenant"`
	Route     string              `json:"route"`
	Sender    string              `json:"sender"`    // empty: the null reverse-path
	Recipient string              `json:"recipient"` // hostile, as all that came with the mail
	Size      int64               `json:"size_bytes"`
	Received  time.Time           `json:"received"`
	Attempts  int                 `json:"attempts"`
	Next      time.Time           `json:"next,omitzero"`
	Reply     string              `json:"last_reply,omitempty"`
	Changed   time.Time           `json:"changed"`
	Held      *HeldWhy            `json:"held,omitempty"` // of what is held: why, and what will end that
}

// A Decision is what a person decides.
type Decision struct {
	Verb   queue.Verb `json:"verb"`
	Choice Choice     `json:"choice"`
	Why    string     `json:"why,omitempty"`
	// Malware says that release and retry are meant for what is in quarantine, too.
	Malware bool `json:"malware,omitempty"`
	// Preview asks what a decision about a group would do, and Yes repeats its Confirm.
	Preview bool `json:"preview,omitempty"`
	Yes     int  `json:"yes,omitempty"`
}

// Decided says what a decision did.
type Decided struct {
	Changed int    `json:"changed"` // deliveries
	By      string `json:"by"`
	// Quarantined counts deliveries that stay in quarantine, because the decision did not
	// ask for them.
	Quarantined int `json:"quarantined,omitempty"`
	// Kept counts deliveries that were to be bounced and may not go back to their senders:
	// they are held. Why is the reason of the first.
	Kept int    `json:"kept,omitempty"`
	Why  string `json:"why,omitempty"`
	// Preview is what the decision about a group would do; nothing was changed. Of is how
	// many a preview had shown of which Changed were still there.
	Preview *Preview `json:"preview,omitempty"`
	Of      int      `json:"of,omitempty"`
}

// keep adds what was kept back.
func (d *Decided) keep(k *queue.KeptBack) {
	if d.Kept == 0 {
		d.Why = k.Why
	}
	d.Kept += k.N
}

// Queue yields the deliveries that c chooses, oldest first; limit 0 means all.
func (c *Client) Queue(ctx context.Context, choice Choice, limit int, yield func(Waiting) error) error {
	q := url.Values{"state": {choice.State}, "tenant": {choice.Tenant}, "route": {choice.Route}, "to": {choice.To}, "domain": {choice.Domain},
		"id": {choice.ID}, "group": {choice.Group}, "limit": {strconv.Itoa(limit)}}
	return c.ask(ctx, "GET", "/queue", q, nil, each(yield), new(struct{}))
}

// Decide carries out a decision under the name of the unix user.
func (c *Client) Decide(ctx context.Context, d Decision) (Decided, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return Decided{}, fmt.Errorf("make the request: %w", err)
	}
	var got Decided
	err = c.ask(ctx, "POST", "/queue", url.Values{}, body, nil, &got)
	return got, err
}

// A chosen is a Choice in terms of the store.
type chosen struct {
	filter store.Filter
	n      int    // of filter.Message; -1: all its deliveries
	route  string // key; empty: every route
	domain string // of the Internet; empty: every one, and the city's
	failed string // a group of what is queued after attempts that failed; empty: every one
}

// has reports whether a delivery that the filter let through is chosen.
func (c *chosen) has(dir *city.Directory, d doppelboden.Delivery) bool {
	return (c.n < 0 || d.N == c.n) && (c.route == "" || routeOf(dir, d) == c.route) &&
		(c.domain == "" || outward(d) && d.Recipient.Domain == c.domain) && (c.failed == "" || c.hasFailed(dir, d))
}

// hasFailed reports whether a delivery is in the chosen group of those that failed.
func (c *chosen) hasFailed(dir *city.Directory, d doppelboden.Delivery) bool {
	group, _ := failingGroup(dir, d)
	return d.Attempts > 0 && group == c.failed
}

// choose finds out what a choice means. Codes: Invalid, NotFound.
func (d *Desk) choose(ctx context.Context, c Choice) (chosen, error) {
	dir := d.opts.House.Directory()
	got := chosen{n: -1}
	switch c.State {
	case "":
		got.filter.States = []doppelboden.State{doppelboden.Queued, doppelboden.Held}
	case doppelboden.Queued.String():
		got.filter.States = []doppelboden.State{doppelboden.Queued}
	case doppelboden.Held.String():
		got.filter.States = []doppelboden.State{doppelboden.Held}
	default:
		return got, invalid("the state is queued or held")
	}
	if c.Tenant != "" {
		id, ok := dir.TenantNamed(c.Tenant)
		if !ok {
			return got, notFound("no tenant has this name")
		}
		got.filter.Tenant = id
	}
	if c.To != "" {
		a, err := doppelboden.ParseAddress(c.To)
		if err != nil {
			return got, err
		}
		t, err := dir.Lookup(a)
		if err != nil {
			return got, notFound("no mailbox has this address")
		}
		got.filter.Mailbox = t.Mailbox
	}
	if c.Domain != "" {
		a, err := doppelboden.ParseAddress("x@" + c.Domain)
		if err != nil {
			return got, invalid("not a domain")
		}
		got.domain = a.Domain
	}
	var err error
	if c.Route != "" {
		if got.route, err = routeNamed(dir, c.Route, c.Tenant); err != nil {
			return got, err
		}
	}
	if c.ID != "" {
		if got.filter.Message, got.n, err = d.find(ctx, c.ID); err != nil {
			return got, err
		}
	}
	if c.Group != "" {
		err = d.chooseGroup(ctx, c.Group, &got)
	}
	return got, err
}

// chooseGroup finds out whether a group is of what is held, or of what failed.
func (d *Desk) chooseGroup(ctx context.Context, group string, got *chosen) error {
	f := store.Filter{Group: group, States: []doppelboden.State{doppelboden.Held}, Limit: 1}
	held := false
	err := d.opts.Store.Deliveries(ctx, f, func(store.Item) error {
		held = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for the group: %w", err)
	}
	if held {
		got.filter.Group, got.filter.States = group, f.States
		return nil
	}
	got.failed, got.filter.States = group, []doppelboden.State{doppelboden.Queued}
	return nil
}

// routeNamed returns the key of a route, of one tenant if that is named.
func routeNamed(dir *city.Directory, name, tenant string) (string, error) {
	var keys []string
	for _, t := range dir.City().Tenants {
		if tenant != "" && t.Name != tenant {
			continue
		}
		if key := t.InternetKey(); t.Internet != nil && (key == name || strings.HasSuffix(key, "/"+name)) {
			keys = append(keys, key)
		}
		for _, r := range t.Routes {
			if r.Key() == name || r.Name == name {
				keys = append(keys, r.Key())
			}
		}
	}
	switch len(keys) {
	case 0:
		return "", notFound("no route has this name")
	case 1:
		return keys[0], nil
	}
	return "", invalid("several tenants have a route of this name: write one of " + strings.Join(keys, ", "))
}

// find reads id, receipt or id/n. n is -1 for all deliveries of the message.
func (d *Desk) find(ctx context.Context, s string) (id doppelboden.ID, n int, err error) {
	name, number, one := strings.Cut(s, "/")
	n = -1
	if one {
		if n, err = strconv.Atoi(number); err != nil || n < 0 {
			return id, 0, invalid("one delivery is written as ID/N with N from 0")
		}
	}
	if id, err = doppelboden.ParseID(name); err == nil {
		return id, n, nil
	}
	receipt, err := doppelboden.ParseReceipt(name)
	if err != nil {
		return id, n, invalid("neither the id of a message (36 characters) nor a receipt number (20 letters and digits)")
	}
	if id, err = d.opts.Store.ByReceipt(ctx, receipt); err != nil {
		return id, n, fmt.Errorf("look for the receipt: %w", err)
	}
	return id, n, nil
}

func (d *Desk) listQueue(ctx context.Context, c *call) (any, error) {
	q := c.query
	want, err := d.choose(ctx, Choice{State: q.Get("state"), Tenant: q.Get("tenant"), Route: q.Get("route"), To: q.Get("to"), Domain: q.Get("domain"), ID: q.Get("id"), Group: q.Get("group")})
	if err != nil {
		return nil, err
	}
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 0 {
		return nil, invalid("the limit is a number from 0")
	}
	return struct{}{}, d.walk(ctx, want, limit, c.item)
}

// page is how many deliveries are read at once, so that no reading of the database
// waits for a person's terminal.
const page = 1000

// walk gives what is chosen, oldest first, up to limit; 0 means all.
func (d *Desk) walk(ctx context.Context, want chosen, limit int, give func(any) error) error {
	dir := d.opts.House.Directory()
	f := want.filter
	f.Limit = page
	for given := 0; ; {
		read := 0
		var found []Waiting
		var items []doppelboden.Delivery
		err := d.opts.Store.Deliveries(ctx, f, func(it store.Item) error {
			read++
			f.AfterSeq = it.Delivery.Seq
			if want.has(dir, it.Delivery) {
				found, items = append(found, waiting(dir, it)), append(items, it.Delivery)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the queue: %w", err)
		}
		if err := d.addWhy(ctx, found, items); err != nil {
			return err
		}
		for _, w := range found {
			if err := give(w); err != nil {
				return err
			}
			if given++; given == limit {
				return nil
			}
		}
		if read < page {
			return nil
		}
	}
}

func waiting(dir *city.Directory, it store.Item) Waiting {
	d, m := it.Delivery, it.Message
	return Waiting{
		Message: d.Message, N: d.N, Receipt: m.Receipt, State: d.State.String(), Scan: scanOf(m),
		Tenant: dir.TenantName(d.Tenant), Route: routeOf(dir, d),
		Sender: m.Sender.String(), Recipient: d.Recipient.String(), Size: m.Body.Size, Received: m.Received,
		Attempts: d.Attempts, Next: d.Next, Reply: d.Reply, Changed: d.Changed,
	}
}

// maxWhy bounds a reason, in bytes: the ledger and every delivery keep it.
const maxWhy = 500

func (d *Desk) decide(ctx context.Context, c *call) (any, error) {
	var asked Decision
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	if len(asked.Why) > maxWhy || strings.ContainsFunc(asked.Why, unicode.IsControl) {
		return nil, invalid(fmt.Sprintf("the reason is one line of at most %d bytes", maxWhy))
	}
	want, err := d.choose(ctx, asked.Choice)
	if err != nil {
		return nil, err
	}
	if asked.Choice.Group != "" {
		return d.decideGroup(ctx, c, &asked, want)
	}
	decisions := []queue.Decision{{Verb: asked.Verb, Filter: want.filter, By: c.by, Why: asked.Why}}
	if asked.Choice.State == "" {
		decisions[0].Filter.States = nil // the verb knows which states it can change
	}
	if want.n >= 0 {
		decisions[0].Ref = doppelboden.Ref{Message: want.filter.Message, N: want.n}
	}
	if want.route != "" || want.domain != "" {
		if decisions, err = d.perMailbox(ctx, want, decisions[0]); err != nil {
			return nil, err
		}
	}
	done := Decided{By: c.by}
	if done.Quarantined, err = d.quarantine(ctx, c, &asked, want); err != nil {
		return nil, err
	}
	for i, one := range decisions {
		n, err := d.opts.Queue.Decide(ctx, one)
		done.Changed += n
		var kept *queue.KeptBack
		if errors.As(err, &kept) {
			done.keep(kept)
		} else if err != nil {
			return nil, fmt.Errorf("after %d deliveries: %w", done.Changed, err)
		}
		if i%100 == 99 {
			c.progress(Progress{Step: "deliveries", Done: int64(done.Changed)})
		}
	}
	d.opts.Log.InfoContext(ctx, "a person decided", "verb", asked.Verb, "by", c.by, "deliveries", done.Changed)
	return done, nil
}

// perMailbox splits a decision about a route into decisions about the boxes on it
// for which mail waits, for the store knows no routes.
func (d *Desk) perMailbox(ctx context.Context, want chosen, all queue.Decision) ([]queue.Decision, error) {
	dir := d.opts.House.Directory()
	var boxes []doppelboden.BoxID
	seen := map[doppelboden.BoxID]bool{}
	err := d.opts.Store.Deliveries(ctx, want.filter, func(it store.Item) error {
		if b := it.Delivery.Box; b != 0 && !seen[b] && want.has(dir, it.Delivery) {
			seen[b] = true
			boxes = append(boxes, b)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what waits on the route: %w", err)
	}
	slices.Sort(boxes)
	decisions := make([]queue.Decision, len(boxes))
	for i, b := range boxes {
		decisions[i] = all
		decisions[i].Filter.Box = b
	}
	return decisions, nil
}
