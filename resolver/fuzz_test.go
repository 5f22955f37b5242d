package resolver

import (
	"testing"

	"doppelboden"

	"github.com/miekg/dns"
)

func FuzzRead(f *testing.F) {
	for _, text := range []string{"a.example. 5 IN TXT \"x\\\\\" \"\\195\"", "a.example. 5 IN CNAME a.example.", "a.example. 5 IN MX 1 .", "a.example. 5 IN PTR \\000.", "a.example. 5 IN AAAA ::1"} {
		m := new(dns.Msg).SetQuestion("a.example.", dns.TypeTXT)
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr, rr)
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		for _, kind := range []uint16{dns.TypeTXT, dns.TypeMX, dns.TypeA, dns.TypeAAAA, dns.TypePTR} {
			r := read(question{name: "a.example.", kind: kind}, m)
			found := len(r.texts) + len(r.mxs) + len(r.addrs) + len(r.names)
			if r.err == nil && (found == 0 || found > mostRecords || r.size() > mostOctets+mostRecords*300) {
				t.Errorf("%d records without an error: %+v", found, r)
			}
			if r.ttl <= 0 || r.ttl > longest {
				t.Errorf("kept for %v: %+v", r.ttl, r)
			}
			if code := doppelboden.CodeOf(r.err); r.err != nil && code != doppelboden.NotFound && code != doppelboden.Temporary {
				t.Errorf("code %v", code)
			}
		}
	})
}

func FuzzNewQuestion(f *testing.F) {
	f.Add("a.example.")
	f.Add(`o'b"(;)@\ .x`)
	f.Fuzz(func(t *testing.T, name string) {
		q, ok := newQuestion(name, dns.TypeTXT)
		if !ok {
			return
		}
		packet, err := (&dns.Msg{Question: []dns.Question{{Name: q.name, Qtype: q.kind, Qclass: 1}}}).Pack()
		if err != nil {
			t.Fatalf("%q becomes %q: %v", name, q.name, err)
		}
		m := new(dns.Msg)
		if err := m.Unpack(packet); err != nil || m.Question[0].Name != q.name {
			t.Errorf("%q becomes %q and comes back as %q, %v", name, q.name, m.Question[0].Name, err)
		}
	})
}
