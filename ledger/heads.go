package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"doppelboden"
)

// A wanted head is a link that a knot names: it must exist with this hash.
type wanted struct {
	number int64    // of the link
	knot   int64    // that names it
	hash   [32]byte // of the link
	file   bool     // whether the knot is known from an exported file alone
	moved  bool     // whether an earlier knot of the walk named an earlier link
}

// heads collects wanted heads, at most as many as fit, and compares them with links that
// come by chain and number.
type heads struct {
	report *Report
	middle bool // whether links before the first of a chain may be absent (exports)

	byChain map[string]*headsOf
	n       int // how many heads are wanted
}

// headsOf are the wanted heads of one chain.
type headsOf struct {
	list  []wanted // sorted by number once links come
	next  int      // the first that no link has passed
	begun bool     // whether a link of the chain was seen
}

// want adds the heads of a knot.
func (w *heads) want(k *doppelboden.Knot, file bool) {
	if w.byChain == nil {
		w.byChain = map[string]*headsOf{}
	}
	for _, h := range k.Heads {
		of := w.byChain[h.Chain]
		if of == nil {
			of = &headsOf{}
			w.byChain[h.Chain] = of
		}
		moved := len(of.list) > 0 && of.list[len(of.list)-1].number < h.Number
		of.list = append(of.list, wanted{number: h.Number, knot: k.Number, hash: h.Hash, file: file, moved: moved})
	}
	w.n += len(k.Heads)
}

// sort prepares the comparison.
func (w *heads) sort() {
	for _, of := range w.byChain {
		slices.SortStableFunc(of.list, func(a, b wanted) int { return cmp.Compare(a.number, b.number) })
	}
}

// see compares a link with the heads that name it.
func (w *heads) see(l *doppelboden.Link) {
	of := w.byChain[l.Chain]
	if of == nil {
		return
	}
	for ; of.next < len(of.list) && of.list[of.next].number <= l.Number; of.next++ {
		one := &of.list[of.next]
		switch {
		case one.number < l.Number:
			w.missing(l.Chain, one, of.begun)
		case one.hash != l.Hash:
			w.fault(l.Chain, one, "is another than the one that was tied")
		}
	}
	of.begun = true
}

// end reports the heads that no link has reached.
func (w *heads) end() {
	names := make([]string, 0, len(w.byChain))
	for name := range w.byChain {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		of := w.byChain[name]
		for ; of.next < len(of.list); of.next++ {
			w.missing(name, &of.list[of.next], of.begun)
		}
	}
}

// missing reports a head without its link. An export of a part may lack what lies
// before it: that is a head whose chain has not begun and that has not moved since the
// export's first knot.
func (w *heads) missing(chain string, one *wanted, begun bool) {
	if w.middle && !begun && !one.moved {
		w.report.Outside++
		return
	}
	w.fault(chain, one, "is missing")
}

func (w *heads) fault(chain string, one *wanted, what string) {
	knot := fmt.Sprintf("knot %d", one.knot)
	if one.file {
		knot = "the exported " + knot
	}
	w.report.add(Fault{About: "link", Chain: chain, Number: one.number,
		What: fmt.Sprintf("it %s, says %s", what, knot)})
}
