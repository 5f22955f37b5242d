package mailauth

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"doppelboden"
)

// A signature is a DKIM-Signature field: RFC 6376, section 3.5.
type signature struct {
	field    field
	domain   string // d=, lower case, A-labels
	selector string // s=, the same
	kind     string // of the key: the first half of a=
	hash     string // the second half of a=
	head     canon
	body     canon
	length   int64    // l=; negative: the whole body
	headers  []string // h=, lower case
	agent    string   // the domain of i=, lower case, A-labels
	expires  time.Time
	bodySum  []byte // bh=
	sig      []byte // b=
	begin    string // the first octets of b=, as they stand: RFC 6008
	cutFrom  int    // where the value of b= begins in the field
	cutTo    int    // where it ends
}

// What is wrong with a signature.
var (
	errVersion   = errors.New("a version of DKIM that we do not know")
	errMissing   = errors.New("a tag is missing or malformed")
	errNotSigned = errors.New("From is not signed")
	errAgent     = errors.New("i= is outside of d=")
	errQuery     = errors.New("a way to the key that we do not know")
)

// mostSignedFields bounds h=. Real ones name some twenty.
const mostSignedFields = 500

// parseSignature reads a field. What it returns beside an error is what could be read.
func parseSignature(f field) (*signature, error) {
	s := &signature{field: f, length: -1}
	value := f.value()
	list, err := parseTags(value)
	if err != nil {
		return s, err
	}
	domain, okD := dnsName(list.get("d", ""))
	selector, okS := dnsName(list.get("s", ""))
	s.domain, s.selector = domain, selector
	s.kind, s.hash, _ = strings.Cut(strings.ToLower(dense(list.get("a", ""))), "-")
	b, okB := list.find("b")
	s.begin = dense(b.value)
	s.begin = s.begin[:min(len(s.begin), 8)]
	if list.get("v", "") != "1" {
		return s, errVersion
	}
	offset := len(f) - len(value)
	s.cutFrom, s.cutTo = offset+b.from, offset+b.to
	s.sig, err = base64.StdEncoding.DecodeString(dense(b.value))
	sum, errSum := base64.StdEncoding.DecodeString(dense(list.get("bh", "")))
	s.bodySum = sum
	if !okD || !okS || !okB || err != nil || len(s.sig) == 0 || errSum != nil || len(sum) == 0 || s.kind == "" || s.hash == "" {
		return s, errMissing
	}
	for _, read := range []func(tags) error{s.readCanon, s.readHeaders, s.readAgent, s.readNumbers} {
		if err := read(list); err != nil {
			return s, err
		}
	}
	if q := listed(list.get("q", "dns/txt")); !slices.Contains(q, "dns/txt") {
		return s, errQuery
	}
	return s, nil
}

// readCanon reads c=.
func (s *signature) readCanon(list tags) error {
	head, body, _ := strings.Cut(strings.ToLower(dense(list.get("c", "simple/simple"))), "/")
	algorithms := map[string]canon{"simple": simple, "relaxed": relaxed, "": simple}
	var okHead, okBody bool
	s.head, okHead = algorithms[head]
	s.body, okBody = algorithms[body]
	if !okHead || !okBody {
		return errMissing
	}
	return nil
}

// readHeaders reads h=.
func (s *signature) readHeaders(list tags) error {
	names := listed(strings.ToLower(list.get("h", "")))
	if len(names) > mostSignedFields || slices.Contains(names, "") {
		return errMissing
	}
	// RFC 6376, section 5.4: From must be among them.
	if !slices.Contains(names, "from") {
		return errNotSigned
	}
	s.headers = names
	return nil
}

// readAgent reads i=, whose domain must be that of d= or below it.
func (s *signature) readAgent(list tags) error {
	s.agent = s.domain
	i, ok := list.find("i")
	if !ok {
		return nil
	}
	at := strings.LastIndexByte(i.value, '@')
	if at < 0 {
		return errMissing
	}
	if s.agent, ok = dnsName(i.value[at+1:]); !ok {
		return errMissing
	}
	if s.agent != s.domain && !strings.HasSuffix(s.agent, "."+s.domain) {
		return errAgent
	}
	return nil
}

// readNumbers reads l=, t= and x=.
func (s *signature) readNumbers(list tags) error {
	for _, name := range []string{"l", "t", "x"} {
		t, ok := list.find(name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(t.value, 10, 64)
		if err != nil || n < 0 || t.value[0] == '+' {
			return errMissing
		}
		switch name {
		case "l":
			s.length = n
		case "x":
			s.expires = time.Unix(n, 0)
		}
	}
	return nil
}

// dnsName returns a domain in lower case with A-labels: RFC 8616, section 3.
func dnsName(s string) (string, bool) { return doppelboden.ParseDomain(dense(s)) }
