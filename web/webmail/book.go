package webmail

import (
	"net/http"
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/web"
)

// An entry is a line of the address book.
type entry struct {
	Name       string
	Address    string
	Department string
	Kind       doppelboden.MailboxKind
	Members    []string // of a list
	Full       string   // as it goes into a field
	Write      string   // where one writes to it
}

// mostMembers bounds the members of a list that the book names.
const mostMembers = 50

// entries finds mailboxes and lists of a tenant, the best first. Everything that somebody
// typed must be in the name, the address or the department.
func (d *Door) entries(t doppelboden.TenantID, text string, most int) (found []entry, more bool) {
	words := strings.Fields(strings.ToLower(text))
	type scored struct {
		doppelboden.Mailbox
		rank int
	}
	var all []scored
	for m := range d.opts.Directory().All() {
		if m.Tenant != t || !m.Gone.IsZero() {
			continue
		}
		if rank := match(m, words); rank >= 0 {
			all = append(all, scored{m, rank})
		}
	}
	slices.SortFunc(all, func(a, b scored) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		if c := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); c != 0 {
			return c
		}
		return strings.Compare(a.Address.Key(), b.Address.Key())
	})
	if more = len(all) > most; more {
		all = all[:most]
	}
	for _, m := range all {
		e := entry{Name: m.Name, Address: m.Address.String(), Department: m.Department, Kind: m.Kind, Full: m.Address.String()}
		if m.Name != "" {
			e.Full = quoteName(m.Name) + " <" + e.Address + ">"
		}
		for i, a := range m.Members {
			if i == mostMembers {
				e.Members = append(e.Members, "…")
				break
			}
			e.Members = append(e.Members, a.String())
		}
		found = append(found, e)
	}
	return found, more
}

// match ranks a mailbox: 0 when a word begins its name or address, 1 when a word begins
// one of its words, 2 when all words are somewhere in it, -1 when not.
func match(m doppelboden.Mailbox, words []string) int {
	name, address := strings.ToLower(m.Name), m.Address.Key()
	text := name + " " + address + " " + strings.ToLower(m.Department)
	for _, a := range m.Aliases {
		text += " " + a.Key()
	}
	rank := 0
	for _, w := range words {
		switch {
		case strings.HasPrefix(name, w), strings.HasPrefix(address, w):
		case strings.Contains(text, " "+w), strings.Contains(address, "."+w):
			rank = max(rank, 1)
		case strings.Contains(text, w):
			rank = 2
		default:
			return -1
		}
	}
	return rank
}

// A bookPage is a page of the address book.
type bookPage struct {
	Query   string
	Entries []entry
	More    bool
	Action  string
	Compose string
}

// bookSize is how many entries the book shows at once.
const bookSize = 100

// book shows the address book.
func (d *Door) book(w http.ResponseWriter, r *http.Request, k *desk) error {
	n, err := d.navigate(r, k, 0)
	if err != nil {
		return err
	}
	n.Page = "book"
	p := bookPage{Query: line(r.URL.Query().Get("q")), Action: k.base + "/book", Compose: k.base + "/compose"}
	p.Entries, p.More = d.entries(k.Visitor.Tenant, p.Query, bookSize)
	d.show(w, r, k, http.StatusOK, "book", web.Page{Title: "Address book", Nav: n, Data: p})
	return nil
}

// complete offers addresses for what is being typed into a field: the part behind the last
// separator.
func (d *Door) complete(w http.ResponseWriter, r *http.Request, k *desk) error {
	q := r.URL.Query()
	text := q.Get("to") + q.Get("cc") + q.Get("bcc")
	parts := splitTyped(text)
	last := strings.TrimSpace(parts[len(parts)-1])
	var found []entry
	if len(last) >= 2 && !strings.HasSuffix(last, ">") {
		found, _ = d.entries(k.Visitor.Tenant, last, 8)
	}
	d.pages.Part(w, r, "compose", "offers", web.Page{Data: found})
	return nil
}
