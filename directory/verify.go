package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"

	"doppelboden"
)

// verifyTime bounds the answers about one password: somebody waits for them.
const verifyTime = 4 * time.Second

// Verify asks the directory whether a password is that of the one entry with a mail
// address. An error says that nobody knows: no server answers, or the answer is none. For
// an address that nobody has it takes the same steps, so that its absence cannot be seen.
func (s *Source) Verify(ctx context.Context, a doppelboden.Address, password string) (bool, error) {
	if password == "" {
		return false, nil // RFC 4513, section 5.1.2: that would be an anonymous bind, which succeeds
	}
	short := Source{opts: s.opts}
	short.opts.PageTime = verifyTime
	c, err := short.connect(ctx)
	if err != nil {
		return false, fmt.Errorf("connect to the directory: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.frame.Conn.Close() })
	defer stop()
	dn, found, err := short.entryOf(c, a)
	if err != nil {
		return false, err
	}
	if !found {
		dn = "cn=nobody has this address," + s.opts.LDAP.Base
	}
	err = guarded(func() error { return c.Bind(dn, password) })
	var refused *ldap.Error
	switch {
	case err == nil:
		return found, nil
	case errors.As(err, &refused) && means(refused.ResultCode):
		return false, nil
	}
	return false, fmt.Errorf("ask for a password: %w", err)
}

// means reports whether a result says that the password does not let in: RFC 4511,
// appendix A.2. Everything else says that nobody knows.
func means(code uint16) bool {
	switch code {
	case ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInappropriateAuthentication,
		ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultUnwillingToPerform:
		return true
	}
	return false
}

// entryOf returns the name of the one entry with an address.
func (s *Source) entryOf(c *session, a doppelboden.Address) (dn string, found bool, err error) {
	l := &s.opts.LDAP
	filter := "(mail=" + ldap.EscapeFilter(a.String()) + ")" // RFC 4515, section 3
	if l.Filter != "" {
		filter = "(&" + l.Filter + filter + ")"
	}
	search := ldap.NewSearchRequest(l.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, int(verifyTime/time.Second), false, filter, []string{"1.1"}, nil)
	c.frame.allow(2)
	var got *ldap.SearchResult
	err = guarded(func() (err error) { got, err = c.Search(search); return err })
	if err != nil {
		if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
			return "", false, nil // several: nobody's in particular
		}
		return "", false, fmt.Errorf("look for an address: %w", err)
	}
	if len(got.Entries) != 1 || got.Entries[0].DN == "" {
		return "", false, nil
	}
	return got.Entries[0].DN, true, nil
}
