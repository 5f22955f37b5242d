package mailauth

import (
	"context"
	"strings"

	"doppelboden"

	"golang.org/x/net/publicsuffix"
)

// A walk is the DNS Tree Walk of RFC 9989, section 4.10: the records that stand at a
// domain and above it, the domain's own first.
type walk struct {
	start   string
	records []record
}

// mostSteps is how many names a walk asks for at most.
const mostSteps = 8

// treeWalk asks for the records. The error is Temporary: some name could not be asked
// for, and the walk is not complete.
func (c *Checker) treeWalk(ctx context.Context, domain string) (walk, error) {
	w := walk{start: domain}
	for at := domain; at != ""; at = above(at) {
		r, ok, err := c.recordAt(ctx, at)
		if err != nil {
			return w, err
		}
		if !ok {
			continue
		}
		w.records = append(w.records, r)
		if r.psd != 'u' {
			break
		}
	}
	return w, nil
}

// above returns the next name of a walk: one label less, and at most seven of them.
func above(domain string) string {
	labels := strings.Split(domain, ".")
	return strings.Join(labels[max(1, len(labels)-(mostSteps-1)):], ".")
}

// recordAt returns the record of a name. Several records count as none.
func (c *Checker) recordAt(ctx context.Context, domain string) (record, bool, error) {
	texts, err := c.opts.DNS.TXT(ctx, "_dmarc."+domain)
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, err
	}
	var found record
	usable, count := false, 0
	for _, text := range texts {
		if r, u, ok := parseRecord(text); ok {
			found, usable = r, u
			count++
		}
	}
	if count != 1 || !usable {
		return record{}, false, nil
	}
	found.domain = domain
	// Who publishes a record for a public suffix must say psd=y. Some do not; then all
	// domains below it would be one organisation. The list knows better (decision 0015).
	if found.psd == 'u' && isPublicSuffix(domain) {
		found.psd = 'y'
	}
	return found, true, nil
}

// isPublicSuffix reports whether anybody can register names below a domain.
func isPublicSuffix(domain string) bool {
	suffix, known := publicsuffix.PublicSuffix(domain)
	// For what it does not know the list gives the last label, which need not be one.
	return suffix == domain && (known || strings.Contains(domain, "."))
}

// organisation returns the Organizational Domain: RFC 9989, section 4.10.2.
func (w walk) organisation() string {
	for _, r := range w.records {
		switch {
		case r.psd == 'n':
			return r.domain
		case r.psd == 'y' && r.domain != w.start:
			return below(w.start, r.domain)
		}
	}
	if len(w.records) > 0 {
		return w.records[len(w.records)-1].domain // that with the fewest labels
	}
	return w.start
}

// below returns the name one label longer than suffix on the way to domain.
func below(domain, suffix string) string {
	rest := strings.TrimSuffix(domain, "."+suffix)
	return rest[strings.LastIndexByte(rest, '.')+1:] + "." + suffix
}

// policy returns the record that applies to the start of the walk: its own, that of its
// organisation, or that of the public suffix above (RFC 9989, section 4.10.1).
func (w walk) policy() (record, bool) {
	org := w.organisation()
	for _, where := range []string{w.start, org} {
		for _, r := range w.records {
			if r.domain == where {
				return r, true
			}
		}
	}
	for _, r := range w.records {
		if r.psd == 'y' {
			return r, true
		}
	}
	return record{}, false
}
