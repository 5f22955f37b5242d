package mailauth

import (
	"context"
	"errors"

	"doppelboden"
	"doppelboden/resolver"
)

// A dmarcVerdict is what DMARC says about one author domain.
type dmarcVerdict struct {
	author string
	value  Value
	wish   Wish // what applies to a mail that fails; NoWish when there is no record
	reason string
}

// evidence is what a mail has proved.
type evidence struct {
	spf  spfVerdict // of the reverse-path
	dkim []*signed
}

// dmarc evaluates one author domain: RFC 9989, section 5.3.
func (c *Checker) dmarc(ctx context.Context, author string, proved evidence) dmarcVerdict {
	v := dmarcVerdict{author: author, value: None, wish: NoWish}
	w, policy, ok, err := c.discover(ctx, author)
	if err != nil {
		v.value, v.reason = TempError, "the policy cannot be fetched now"
		return v
	}
	if !ok {
		return v
	}
	if v.wish, err = c.wish(ctx, author, policy); err != nil {
		v.value, v.reason = TempError, "the policy cannot be fetched now"
		return v
	}
	a := alignment{c: c, author: author, walk: w}
	switch aligned, open := a.any(ctx, policy, proved); {
	case aligned:
		v.value = Pass
	case open:
		v.value, v.reason = TempError, "not everything could be checked now"
	default:
		v.value = Fail
	}
	return v
}

// discover finds the record for an author domain. The walk above its own record is left
// out: it is needed only when alignment is not plain (see alignment).
func (c *Checker) discover(ctx context.Context, author string) (*walk, record, bool, error) {
	r, ok, err := c.recordAt(ctx, author)
	if err != nil || ok {
		return nil, r, ok, err
	}
	w, err := c.treeWalk(ctx, author)
	if err != nil {
		return nil, record{}, false, err
	}
	r, ok = w.policy()
	return &w, r, ok, nil
}

// wish returns what the record wants for an author domain that fails.
func (c *Checker) wish(ctx context.Context, author string, r record) (Wish, error) {
	w := r.policy
	if r.domain != author {
		w = r.sub
		if r.none != r.sub {
			// np= is for names that do not exist at all, as RFC 8020 means it.
			_, err := c.opts.DNS.A(ctx, author)
			switch {
			case errors.Is(err, resolver.ErrNoName):
				w = r.none
			case err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound:
				return NoWish, err
			}
		}
	}
	if r.test {
		w = w.milder()
	}
	return w, nil
}

// An alignment compares domains with the author's.
type alignment struct {
	c      *Checker
	author string
	walk   *walk // of the author's domain; nil until it is needed
}

// any reports whether something that was proved is aligned with the author: RFC 9989,
// section 4.4. open says that what could not be checked for now might have been.
func (a *alignment) any(ctx context.Context, r record, proved evidence) (aligned, open bool) {
	try := func(value Value, domain string, strict bool) {
		if aligned || value != Pass && value != TempError || domain == "" {
			return
		}
		same, err := a.same(ctx, domain, strict)
		switch {
		case err != nil:
			open = true
		case same && value == Pass:
			aligned = true
		case same:
			open = true
		}
	}
	// First what needs no questions.
	for _, plain := range []bool{true, false} {
		if (proved.spf.domain == a.author) == plain {
			try(proved.spf.value, proved.spf.domain, r.spf)
		}
		for _, s := range proved.dkim {
			if (s.domain == a.author) == plain {
				try(s.result.Value, s.domain, r.dkim)
			}
		}
	}
	return aligned, open && !aligned
}

// same reports whether a domain is the author's, or of the same organisation.
func (a *alignment) same(ctx context.Context, domain string, strict bool) (bool, error) {
	if domain == a.author {
		return true, nil
	}
	// Two names of one organisation share at least what an organisation is called.
	if strict || !related(domain, a.author) {
		return false, nil
	}
	if a.walk == nil {
		w, err := a.c.treeWalk(ctx, a.author)
		if err != nil {
			return false, err
		}
		a.walk = &w
	}
	other, err := a.c.treeWalk(ctx, domain)
	if err != nil {
		return false, err
	}
	return a.walk.organisation() == other.organisation(), nil
}

// related reports whether two names have their last label in common. Without it they
// have no domain above them in common, and need not be asked for.
func related(a, b string) bool { return lastLabel(a) == lastLabel(b) }

func lastLabel(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '.' {
			return s[i+1:]
		}
	}
	return s
}
