package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"doppelboden"

	"github.com/miekg/dns"
)

// Bounds of an answer. What exceeds them is an attack or a mistake, and Temporary.
const (
	mostAliases = 8        // CNAMEs in a row; unbound follows 11, others 8 to 16
	mostRecords = 100      // of the type that was asked for
	mostOctets  = 16 << 10 // of all texts; the longest DKIM keys need 1 KB, SPF 3 KB
)

// How long answers are kept.
const (
	shortest   = 5 * time.Second // for a TTL of 0: the same mail asks several times
	longest    = time.Hour       // for keys and policies that change; name servers keep longer
	negative   = 5 * time.Minute // at most, for what does not exist: RFC 2308, section 5, allows hours
	failureTTL = 5 * time.Second // RFC 2308, section 7, allows five minutes
)

// A result is what a question brought. It is shared and never changed.
type result struct {
	texts []string
	mxs   []MX
	addrs []netip.Addr
	names []string

	err    error         // with a code as Resolver has it
	ttl    time.Duration // how long it may be kept; 0: not at all
	spoken bool          // a server said it, as opposed to silence
}

// class names the result in metrics.
func (r *result) class() string {
	switch {
	case r.err == nil:
		return "found"
	case doppelboden.CodeOf(r.err) == doppelboden.NotFound:
		return "not_found"
	case r.spoken:
		return "failed"
	}
	return "silent"
}

// size estimates the memory of the result in the cache.
func (r *result) size() int {
	n := 160 + len(r.addrs)*24
	for _, s := range r.texts {
		n += len(s) + 16
	}
	for _, s := range r.names {
		n += len(s) + 16
	}
	for _, mx := range r.mxs {
		n += len(mx.Host) + 24
	}
	return n
}

// read turns a reply into a result.
func read(q question, m *dns.Msg) *result {
	switch m.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
	default:
		return failure("the name server reports a failure", fmt.Errorf("rcode %s", dns.RcodeToString[m.Rcode]))
	}
	if m.Truncated {
		return failure("the answer cannot be used", errors.New("truncated even over TCP"))
	}
	owner, ttl, err := chase(q, m.Answer)
	if err != nil {
		return failure("the answer cannot be used", err)
	}
	r := &result{spoken: true}
	count, octets := 0, 0
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype != q.kind || h.Class != dns.ClassINET || !strings.EqualFold(h.Name, owner) {
			continue // poisoned, or the alias itself
		}
		n, ok := r.add(rr)
		if !ok {
			continue
		}
		count, octets = count+1, octets+n
		if count > mostRecords || octets > mostOctets {
			return failure("the answer cannot be used", fmt.Errorf("more than %d records or %d octets", mostRecords, mostOctets))
		}
		ttl = min(ttl, seconds(h.Ttl))
	}
	if count == 0 || m.Rcode == dns.RcodeNameError {
		err := notFound("no such record in the DNS", nil)
		if m.Rcode == dns.RcodeNameError {
			err = notFound("no such name in the DNS", ErrNoName)
		}
		return &result{spoken: true, err: err, ttl: negativeTTL(m.Ns)}
	}
	r.ttl = min(max(ttl, shortest), longest)
	return r
}

func failure(public string, cause error) *result {
	return &result{spoken: true, err: temporary(public, cause), ttl: failureTTL}
}

// chase follows the aliases of an answer: RFC 1034, section 3.6.2. It returns the name
// that owns the records, and the shortest TTL on the way.
func chase(q question, answer []dns.RR) (owner string, ttl time.Duration, err error) {
	owner, ttl = q.name, longest
	for range mostAliases + 1 {
		next := ""
		for _, rr := range answer {
			if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && strings.EqualFold(c.Hdr.Name, owner) {
				next, ttl = c.Target, min(ttl, seconds(c.Hdr.Ttl))
				break
			}
		}
		if next == "" {
			return owner, ttl, nil
		}
		owner = next
	}
	return "", 0, fmt.Errorf("more than %d aliases, or a loop of them", mostAliases)
}

// add takes a record and returns how many octets of text it holds; false for one that
// cannot be used.
func (r *result) add(rr dns.RR) (octets int, ok bool) {
	switch rr := rr.(type) {
	case *dns.TXT:
		// RFC 7208, section 3.3, and RFC 6376, section 3.6.2.2: joined without spaces.
		text := unescape(rr.Txt)
		r.texts = append(r.texts, text)
		return len(text), true
	case *dns.MX:
		host, ok := hostname(rr.Mx)
		if ok || rr.Mx == "." {
			r.mxs = append(r.mxs, MX{Host: host, Pref: rr.Preference})
			return len(host), true
		}
	case *dns.A:
		if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
			r.addrs = append(r.addrs, a)
			return 4, true
		}
	case *dns.AAAA:
		if a, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok {
			r.addrs = append(r.addrs, a)
			return 16, true
		}
	case *dns.PTR:
		if host, ok := hostname(rr.Ptr); ok {
			r.names = append(r.names, host)
			return len(host), true
		}
	}
	return 0, false
}

// hostname returns a name of an answer in lower case without its last dot. What holds
// anything but letters, digits, hyphens and underscores is nobody's host.
func hostname(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" {
		return ".", false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return "", false
		}
	}
	return s, true
}

// unescape joins the strings of a TXT record and takes back the presentation format
// that package dns writes them in: RFC 1035, section 5.1.
func unescape(parts []string) string {
	s := strings.Join(parts, "")
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		case i+3 < len(s) && digit(s[i+1]) && digit(s[i+2]) && digit(s[i+3]):
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + (s[i+3] - '0'))
			i += 3
		default:
			i++
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// negativeTTL is how long nothing may be kept: RFC 2308, section 5.
func negativeTTL(authority []dns.RR) time.Duration {
	for _, rr := range authority {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(max(seconds(min(soa.Hdr.Ttl, soa.Minttl)), shortest), negative)
		}
	}
	return shortest
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }
