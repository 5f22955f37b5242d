package directory

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-ldap/ldap/v3"

	"doppelboden/city"
)

// Options say what a source reads with. LDAP and Password must be set.
type Options struct {
	LDAP city.LDAP
	// Password returns the password of LDAP.BindDN. It is asked at every reading, so that
	// a new one needs no restart.
	Password func() (string, error)
	// CA is the file with the certificates that sign the server's; empty: the system's.
	CA string
	// PageTime is how long one answer may take; default 30 s.
	PageTime time.Duration
	// Time is how long the whole reading may take; default 10 min, in which a directory
	// of a million entries has been read.
	Time time.Duration
	// PageSize is how many entries are asked for at once; default 500, which is half of
	// what Active Directory allows.
	PageSize int
}

// A Source is one directory of a tenant.
type Source struct{ opts Options }

// NewSource returns a source.
func NewSource(o Options) *Source {
	if o.PageTime <= 0 {
		o.PageTime = 30 * time.Second
	}
	if o.Time <= 0 {
		o.Time = 10 * time.Minute
	}
	if o.PageSize <= 0 {
		o.PageSize = 500
	}
	return &Source{opts: o}
}

// roots reads the certificates that sign the server's.
func (s *Source) roots() (*x509.CertPool, error) {
	if s.opts.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(s.opts.CA)
	if err != nil {
		return nil, fmt.Errorf("read the certificates of the authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("no certificate in %s", s.opts.CA)
	}
	return pool, nil
}

// domainScope asks Active Directory for its own entries without hints at other domains
// (LDAP_SERVER_DOMAIN_SCOPE_OID).
const domainScope = "1.2.840.113556.1.4.1339"

// Read returns everything that the directory lists, or an error; never a part of it.
// It ends soon after ctx.
func (s *Source) Read(ctx context.Context) ([]Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Time)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("reach the directory: %w", err)
	}
	defer c.Close()
	// The library does not look at a context while it waits.
	stop := context.AfterFunc(ctx, func() { c.frame.Conn.Close() })
	defer stop()
	entries, err := s.readAll(c)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the directory: %w", err)
	}
	return entries, nil
}

// readAll reads page after page: RFC 2696.
func (s *Source) readAll(c *session) ([]Entry, error) {
	l := &s.opts.LDAP
	p := presets[l.Preset]
	paging := ldap.NewControlPaging(uint32(s.opts.PageSize))
	request := ldap.NewSearchRequest(l.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		p.filterFor(l), p.attributesFor(l), []ldap.Control{paging})
	if p.domainScope {
		request.Controls = append(request.Controls, ldap.NewControlString(domainScope, false, ""))
	}
	var all []Entry
	for pages := 0; ; pages++ {
		result, err := s.page(c, request, s.opts.PageSize)
		if err != nil {
			return nil, err
		}
		if len(all)+len(result.Entries) > l.MaxEntries {
			return nil, fmt.Errorf("the directory has more than %d entries (max_entries)", l.MaxEntries)
		}
		for _, raw := range result.Entries {
			e, err := s.entry(c, p, raw)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		answer, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		switch {
		case !ok:
			// RFC 2696, section 3: a server that knows the control sends one back, and
			// without it nobody can tell whether this was all.
			return nil, errors.New("the server does not give its answer in pages (RFC 2696)")
		case len(answer.Cookie) == 0:
			return all, nil
		case pages > 2*l.MaxEntries/s.opts.PageSize+100:
			return nil, errors.New("the server sends pages without end")
		}
		paging.SetCookie(answer.Cookie)
	}
}

// page reads the answer to one request.
func (s *Source) page(c *session, request *ldap.SearchRequest, most int) (*ldap.SearchResult, error) {
	c.frame.allow(most)
	var result *ldap.SearchResult
	err := guarded(func() (err error) {
		result, err = c.Search(request)
		return err
	})
	switch {
	case err != nil:
		// Also for a limit of the server, when the result holds the first entries.
		return nil, err
	case len(result.Referrals) > 0:
		return nil, fmt.Errorf("a part of the directory lies elsewhere (%s): name a base that this server has, or its Global Catalog", clean(result.Referrals[0], 200))
	}
	return result, nil
}
