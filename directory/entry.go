package directory

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"doppelboden"
)

// Bounds of one entry.
const (
	maxAliases = 500     // the same as for a list in CSV
	maxMembers = 100_000 // of one distribution list
	maxOpeners = 10_000  // of one function mailbox
	maxName    = 200     // characters of a name, department or building
	maxID      = 64      // characters of what stays the same
)

// A Class says what an entry is.
type Class int

const (
	// Mailbox is somebody's mailbox, or one that several people share.
	Mailbox Class = iota
	// List is a distribution list.
	List
	// Contact is somebody outside, who is in the directory to be found.
	Contact
	// Disabled is an account that must not get mail any more.
	Disabled
)

// An Entry is what a directory says of one mailbox or list. Nothing in it is trusted:
// Compose checks every address.
type Entry struct {
	DN         string
	ID         string // stays the same when everything else changes; may be empty
	Class      Class
	Kind       doppelboden.MailboxKind // of a Mailbox
	Addresses  []string                // the first is its own
	Name       string
	Department string
	Building   string
	Phone      doppelboden.Phone // "" also where what is written there is no number
	Members    []string          // DNs
	Outside    []string          // addresses of members
	Openers    []string          // DNs and addresses of who may open a function mailbox
	Closed     bool              // the list takes no mail from outside
}

// entry reads an entry, and the rest of its members where the server gave only some.
func (s *Source) entry(c *session, p preset, raw *ldap.Entry) (Entry, error) {
	e := Entry{DN: raw.DN, ID: identity(p.id, raw), Department: words(first(raw, p.department...)), Building: words(first(raw, p.building...)), Name: words(first(raw, "displayName", "cn"))}
	// What people wrote into it is no reason to leave somebody out.
	e.Phone, _ = doppelboden.ParsePhone(first(raw, p.phone...))
	e.Class, e.Kind = classify(raw)
	e.Closed = strings.EqualFold(value(raw, "msExchRequireAuthToSendTo"), "TRUE")
	e.Addresses = addresses(raw, s.opts.LDAP.Aliases)
	if len(e.Addresses) > maxAliases {
		return e, fmt.Errorf("%s has more than %d addresses", clean(e.DN, 200), maxAliases)
	}
	if e.Class == Mailbox && e.Kind == doppelboden.Function {
		return s.openers(c, p, raw, e)
	}
	if e.Class != List {
		return e, nil
	}
	for _, name := range p.membersBy {
		members, err := s.members(c, raw, name)
		if err != nil {
			return e, fmt.Errorf("read the members of %s: %w", clean(e.DN, 200), err)
		}
		e.Members = append(e.Members, members...)
	}
	for _, name := range p.addressesBy {
		e.Outside = append(e.Outside, values(raw, name)...)
	}
	if len(e.Members)+len(e.Outside) > maxMembers {
		return e, fmt.Errorf("%s has more than %d members", clean(e.DN, 200), maxMembers)
	}
	return e, nil
}

// openers reads who may open a function mailbox.
func (s *Source) openers(c *session, p preset, raw *ldap.Entry, e Entry) (Entry, error) {
	names := p.openersBy
	if more := s.opts.LDAP.Members; more != "" {
		names = append(names[:len(names):len(names)], more)
	}
	for _, name := range names {
		some, err := s.members(c, raw, name)
		if err != nil {
			return e, fmt.Errorf("read who may open %s: %w", clean(e.DN, 200), err)
		}
		if e.Openers = append(e.Openers, some...); len(e.Openers) > maxOpeners {
			return e, fmt.Errorf("more than %d people may open %s", maxOpeners, clean(e.DN, 200))
		}
	}
	return e, nil
}

// identity returns what stays the same: text as it is, Active Directory's bytes in hex.
func identity(name string, raw *ldap.Entry) string {
	b := attribute(raw, name)
	if b == nil || len(b.ByteValues) == 0 {
		return ""
	}
	id := string(b.ByteValues[0])
	if len(id) == 16 || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' }) {
		id = hex.EncodeToString(b.ByteValues[0])
	}
	if len(id) > maxID {
		return ""
	}
	return strings.ToLower(id)
}

// Numbers of Active Directory and Exchange.
const (
	accountDisabled = 0x2 // userAccountControl
	// msExchRecipientTypeDetails: mailboxes that belong to nobody alone. Their accounts are
	// disabled, for nobody logs in with them.
	sharedMailbox    = 4
	roomMailbox      = 16
	equipmentMailbox = 32
	remoteShared     = 34359738368
	remoteRoom       = 8589934592
	remoteEquipment  = 17179869184
)

// classify says what an entry is.
func classify(raw *ldap.Entry) (Class, doppelboden.MailboxKind) {
	for _, c := range values(raw, "objectClass") {
		switch strings.ToLower(c) {
		case "group", "groupofnames", "groupofuniquenames", "nismailalias":
			if function(raw) {
				return Mailbox, doppelboden.Function
			}
			return List, ""
		case "contact":
			return Contact, ""
		}
	}
	switch n, _ := strconv.ParseInt(value(raw, "msExchRecipientTypeDetails"), 10, 64); n {
	case sharedMailbox, roomMailbox, equipmentMailbox, remoteShared, remoteRoom, remoteEquipment:
		return Mailbox, doppelboden.Function
	}
	if n, err := strconv.ParseInt(value(raw, "userAccountControl"), 10, 64); err == nil && n&accountDisabled != 0 {
		return Disabled, ""
	}
	if function(raw) {
		return Mailbox, doppelboden.Function
	}
	return Mailbox, doppelboden.Person
}

// function reports whether an entry says that it is the mailbox of a function. A group of
// RFC 4519 (section 3.5) has no employeeType but a businessCategory.
func function(raw *ldap.Entry) bool {
	return strings.EqualFold(value(raw, "employeeType"), string(doppelboden.Function)) ||
		strings.EqualFold(value(raw, "businessCategory"), string(doppelboden.Function))
}

// addresses returns an entry's addresses, its own first: the proxy address that Active
// Directory writes with SMTP: in upper case, else mail.
func addresses(raw *ldap.Entry, aliases string) []string {
	var own, others []string
	for _, v := range values(raw, "proxyAddresses") {
		address, primary, ok := proxyAddress(v)
		switch {
		case !ok:
		case primary:
			own = append(own, address)
		default:
			others = append(others, address)
		}
	}
	own = append(own, values(raw, "mail")...)
	if aliases != "" {
		for _, v := range values(raw, aliases) {
			if address, _, ok := proxyAddress(v); ok {
				v = address
			}
			others = append(others, v)
		}
	}
	if target, _, ok := proxyAddress(value(raw, "targetAddress")); ok {
		others = append(others, target)
	}
	return append(own, others...)
}

// proxyAddress reads one value of proxyAddresses, such as SMTP:anna@musterstadt.de.
// primary is set for SMTP in upper case; ok is false for what is no mail address (X500,
// SIP…).
func proxyAddress(v string) (address string, primary, ok bool) {
	scheme, address, found := strings.Cut(v, ":")
	if !found || !strings.EqualFold(scheme, "smtp") || address == "" {
		return "", false, false
	}
	return address, scheme == "SMTP", true
}

// members returns the values of an attribute with members. Active Directory gives 1,500
// at once and names the rest in the attribute: member;range=0-1499.
func (s *Source) members(c *session, raw *ldap.Entry, name string) ([]string, error) {
	all := values(raw, name)
	part, high, err := ranged(raw, name, 0)
	if err != nil || part == nil {
		return all, err
	}
	for all = append(all, part...); high >= 0; {
		if len(all) > maxMembers {
			return nil, fmt.Errorf("more than %d", maxMembers)
		}
		low := high + 1
		more := fmt.Sprintf("%s;range=%d-*", name, low)
		request := ldap.NewSearchRequest(raw.DN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", []string{more}, nil)
		result, err := s.page(c, request, 1)
		if err != nil {
			return nil, err
		}
		if len(result.Entries) != 1 {
			return nil, errors.New("the entry is gone")
		}
		if part, high, err = ranged(result.Entries[0], name, low); err != nil {
			return nil, err
		}
		if part == nil {
			return nil, errors.New("the server does not go on with a range that it began")
		}
		all = append(all, part...)
	}
	return all, nil
}

// ranged returns the values of an attribute that came as a part, which must begin at
// low, and the number of its last value, or -1 when it is the last part. Without such an
// attribute part is nil.
func ranged(raw *ldap.Entry, name string, low int) (part []string, high int, err error) {
	for _, a := range raw.Attributes {
		base, options, found := strings.Cut(a.Name, ";")
		if !found || !strings.EqualFold(base, name) {
			continue
		}
		from, to, ok := rangeOption(options)
		if !ok {
			continue
		}
		if from != low || to >= 0 && to-from+1 != len(a.Values) {
			return nil, 0, fmt.Errorf("the server sends %q and %d values", clean(a.Name, 80), len(a.Values))
		}
		if a.Values == nil {
			return []string{}, to, nil
		}
		return a.Values, to, nil
	}
	return nil, -1, nil
}

// rangeOption reads the option range=LOW-HIGH of an attribute; high is -1 for "*".
func rangeOption(options string) (low, high int, ok bool) {
	for _, o := range strings.Split(options, ";") {
		key, bounds, found := strings.Cut(o, "=")
		if !found || !strings.EqualFold(key, "range") {
			continue
		}
		from, to, found := strings.Cut(bounds, "-")
		if !found {
			return 0, 0, false
		}
		low, ok = count(from)
		if to == "*" {
			return low, -1, ok
		}
		high, good := count(to)
		return low, high, ok && good && high >= low
	}
	return 0, 0, false
}

// count reads a number of a range.
func count(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil && n <= 10*maxMembers
}

// attribute returns an attribute by its name, whatever the case.
func attribute(raw *ldap.Entry, name string) *ldap.EntryAttribute {
	for _, a := range raw.Attributes {
		if strings.EqualFold(a.Name, name) {
			return a
		}
	}
	return nil
}

// values returns the values of an attribute.
func values(raw *ldap.Entry, name string) []string {
	if a := attribute(raw, name); a != nil {
		return a.Values
	}
	return nil
}

// value returns the first value of an attribute, or "".
func value(raw *ldap.Entry, name string) string {
	if v := values(raw, name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// first returns the first value that any of the attributes has.
func first(raw *ldap.Entry, names ...string) string {
	for _, name := range names {
		if v := value(raw, name); v != "" {
			return v
		}
	}
	return ""
}

// words makes one harmless line of a text for people.
func words(s string) string { return clean(s, maxName) }

// clean returns at most so many characters of s, without what a terminal or a page would
// act upon.
func clean(s string, most int) string {
	s = strings.ToValidUTF8(s, "")
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		s = strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return -1
		}, s)
	}
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most])
	}
	return strings.TrimSpace(s)
}
