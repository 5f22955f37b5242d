package ledger

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"doppelboden"
)

// maxFindings bounds what a report names one by one; it counts all.
const maxFindings = 100

// A Fault is one place at which the ledger is not what it was.
type Fault struct {
	About  string `json:"about"`           // "link", "knot" or "file"
	Chain  string `json:"chain,omitempty"` // of a link
	Number int64  `json:"number"`          // of the link or knot
	File   string `json:"file,omitempty"`  // an exported knot
	What   string `json:"what"`
}

// A Report is what a verification saw.
type Report struct {
	Chains  int64 `json:"chains"`
	Links   int64 `json:"links"`
	Entries int64 `json:"entries"` // whose hashes were computed again
	Expired int64 `json:"expired"` // links whose entries retention has removed
	Knots   int64 `json:"knots"`
	Files   int64 `json:"files"` // exported knots that were compared

	// Untied counts the links after the last knot. Nothing proves that these are all:
	// they could be cut off without a trace.
	Untied      int64     `json:"untied"`
	UntiedSince time.Time `json:"untied_since,omitzero"` // the oldest of them

	// Outside counts heads that lie before the beginning of an export and so cannot be
	// checked. It is 0 for a database.
	Outside int64 `json:"outside,omitempty"`

	LastKnot   int64     `json:"last_knot"`
	LastKnotAt time.Time `json:"last_knot_at,omitzero"`

	Faults   int64   `json:"faults"`             // all of them
	Findings []Fault `json:"findings,omitempty"` // the first 100
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return r.Faults == 0 }

func (r *Report) add(f Fault) {
	r.Faults++
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, f)
	}
}

// Progress says how far a long walk has come.
type Progress struct {
	Step string // "files", "knots", "links", "doors", "rows", "entries", "replies"
	Done int64  // things of this step, all passes together
}

// progressEvery is how many things are seen between two calls of a progress function.
const progressEvery = 10000

// A meter counts the steps of a walk for a progress function, which may be nil.
type meter struct {
	tell func(Progress)
	done map[string]int64
}

func newMeter(tell func(Progress)) *meter { return &meter{tell: tell, done: map[string]int64{}} }

func (m *meter) step(name string) {
	if m.tell == nil {
		return
	}
	m.done[name]++
	if m.done[name]%progressEvery == 0 {
		m.tell(Progress{Step: name, Done: m.done[name]})
	}
}

// A linkChecker checks links that come by chain and number. It remembers the names of
// chains and one link.
type linkChecker struct {
	report *Report
	tied   map[string]int64 // the last number of each chain that a knot names
	middle bool             // whether a chain may begin in its middle (exports)

	seen map[string]bool // chains that have begun
	last doppelboden.Link
	tree tree
}

// check adds what is wrong with l to the report.
func (c *linkChecker) check(l *doppelboden.Link) {
	c.report.Links++
	c.order(l)
	if len(l.Entries) == 0 {
		c.report.Expired++
	} else if root, n, err := c.tree.root(l.Entries); err != nil {
		c.fault(l, fmt.Sprintf("its entries cannot be read: %v", err))
	} else {
		c.report.Entries += int64(n)
		if root != l.Root {
			c.fault(l, "its entries were changed")
		} else if _, err := Decode(*l); err != nil {
			c.fault(l, fmt.Sprintf("its entries cannot be read: %v", err))
		}
	}
	if hashLink(l) != l.Hash {
		c.fault(l, "its time, number, root or hash was changed")
	}
	if l.Number > c.tied[l.Chain] {
		c.report.Untied++
		if since := c.report.UntiedSince; since.IsZero() || l.At.Before(since) {
			c.report.UntiedSince = l.At
		}
	}
	c.last = doppelboden.Link{Chain: l.Chain, Number: l.Number, Hash: l.Hash}
}

// order checks that l follows the link before it.
func (c *linkChecker) order(l *doppelboden.Link) {
	if l.Chain != c.last.Chain || len(c.seen) == 0 {
		c.first(l)
		return
	}
	next := c.last.Number + 1
	switch {
	case l.Number == c.last.Number:
		c.fault(l, "two links have this number")
	case l.Number < next:
		c.fault(l, fmt.Sprintf("it stands after link %d", c.last.Number))
	case l.Number > next:
		c.fault(l, fmt.Sprintf("links %d to %d before it are missing", next, l.Number-1))
	case l.Prev != c.last.Hash:
		c.fault(l, "it does not follow from the link before it")
	}
}

// first checks the first link of a chain.
func (c *linkChecker) first(l *doppelboden.Link) {
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	again := c.seen[l.Chain]
	c.seen[l.Chain] = true
	switch {
	case again:
		c.fault(l, "links of other chains stand between it and its chain")
		return
	case l.Number < 1:
		c.fault(l, "numbers begin at 1")
	case l.Number > 1 && !c.middle:
		c.fault(l, fmt.Sprintf("links 1 to %d before it are missing", l.Number-1))
	case l.Number == 1 && l.Prev != [32]byte{}:
		c.fault(l, "it is the first, but names one before it")
	}
	c.report.Chains++
}

func (c *linkChecker) fault(l *doppelboden.Link, what string) {
	c.report.add(Fault{About: "link", Chain: l.Chain, Number: l.Number, What: what})
}

// A knotChecker checks knots that come by number. It remembers one knot and one number
// for each chain.
type knotChecker struct {
	report *Report
	keys   []ed25519.PublicKey
	middle bool // whether knots may begin in the middle (exports)

	tied map[string]int64 // the last number of each chain that a knot names
	last doppelboden.Knot
}

// check adds what is wrong with k to the report.
func (c *knotChecker) check(k *doppelboden.Knot) {
	fault := func(what string) {
		c.report.add(Fault{About: "knot", Number: k.Number, What: what})
	}
	first := c.report.Knots == 0
	c.report.Knots++
	next := c.last.Number + 1
	switch {
	case first && c.middle:
	case k.Number < next:
		fault(fmt.Sprintf("it stands after knot %d", c.last.Number))
	case k.Number > next:
		fault(fmt.Sprintf("knots %d to %d before it are missing", next, k.Number-1))
	case k.Prev != c.last.Hash:
		fault("it does not follow from the knot before it")
	}
	if err := checkKnot(k, c.keys); err != nil {
		fault(err.Error())
	}
	if c.tied == nil {
		c.tied = map[string]int64{}
	}
	for _, h := range k.Heads {
		if h.Number < c.tied[h.Chain] {
			fault(fmt.Sprintf("chain %s goes back from link %d to link %d", h.Chain, c.tied[h.Chain], h.Number))
		}
		c.tied[h.Chain] = max(c.tied[h.Chain], h.Number)
	}
	c.last = doppelboden.Knot{Number: k.Number, Hash: k.Hash}
	c.report.LastKnot, c.report.LastKnotAt = k.Number, k.At
}

// checkKnot checks what a knot says about itself.
func checkKnot(k *doppelboden.Knot, keys []ed25519.PublicKey) error {
	if hashKnot(k) != k.Hash {
		return errors.New("its time, number, heads or hash was changed")
	}
	for i, h := range k.Heads {
		if h.Number < 1 || i > 0 && k.Heads[i-1].Chain >= h.Chain {
			return errors.New("its heads are not sorted")
		}
	}
	for _, key := range keys {
		if ed25519.Verify(key, k.Hash[:], k.Signature) {
			return nil
		}
	}
	return errors.New("its signature is not by our key")
}
