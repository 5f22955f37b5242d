package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"doppelboden/city"
)

// A fake is an LDAP server that does what a test wants. search gets the connection, the
// number of the message and how many searches came before on it.
type fake struct {
	t      *testing.T
	ln     net.Listener
	search func(c *fakeConn, id int64, n int)
	done   sync.WaitGroup
}

// newFake starts a fake.
func newFake(t *testing.T, search func(c *fakeConn, id int64, n int)) *fake {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, ln: ln, search: search}
	f.done.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.done.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); f.done.Wait() })
	return f
}

// source returns a source of the fake that is not patient.
func (f *fake) source() *Source {
	s := source(city.ActiveDirectory, city.LDAPServer{Addr: f.ln.Addr().String()})
	s.opts.PageTime, s.opts.Time, s.opts.PageSize = 300*time.Millisecond, 2*time.Second, 10
	return s
}

// patient returns a source of a fake that answers, on however busy a machine.
func (f *fake) patient() *Source {
	s := f.source()
	s.opts.PageTime, s.opts.Time = time.Minute, time.Minute
	return s
}

// A fakeConn is one connection to a fake.
type fakeConn struct {
	net.Conn
	request *ber.Packet // the search, as it came
	ended   chan struct{}
}

func (f *fake) serve(conn net.Conn) {
	c := &fakeConn{Conn: conn, ended: make(chan struct{})}
	defer close(c.ended)
	defer conn.Close()
	for n := 0; ; {
		p, err := ber.ReadPacket(conn)
		if err != nil || len(p.Children) < 2 {
			return
		}
		id := p.Children[0].Value.(int64)
		switch p.Children[1].Tag {
		case ldap.ApplicationBindRequest:
			c.done(id, ldap.ApplicationBindResponse, 0)
		case ldap.ApplicationSearchRequest:
			c.request = p
			f.search(c, id, n)
			n++
		default:
			return
		}
	}
}

// message makes an LDAP message.
func message(id int64, operation *ber.Packet, controls ...*ber.Packet) *ber.Packet {
	p := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(operation)
	if len(controls) > 0 {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, c := range controls {
			all.AppendChild(c)
		}
		p.AppendChild(all)
	}
	return p
}

// done ends an answer with a result code.
func (c *fakeConn) done(id int64, tag ber.Tag, code int, controls ...*ber.Packet) {
	r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	r.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	r.AppendChild(text(""))
	r.AppendChild(text("as told"))
	c.Write(message(id, r, controls...).Bytes())
}

// end ends a search, with the cookie of the next page.
func (c *fakeConn) end(id int64, code int, cookie string) {
	p := ldap.NewControlPaging(0)
	p.SetCookie([]byte(cookie))
	c.done(id, ldap.ApplicationSearchResultDone, code, p.Encode())
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// entryOf makes an entry of attributes, each a name and its values.
func entryOf(dn string, attributes ...[]string) *ber.Packet {
	e := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	e.AppendChild(text(dn))
	list := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	for _, a := range attributes {
		one := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		one.AppendChild(text(a[0]))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range a[1:] {
			set.AppendChild(text(v))
		}
		one.AppendChild(set)
		list.AppendChild(one)
	}
	e.AppendChild(list)
	return e
}

// person sends somebody.
func (c *fakeConn) person(id int64, n int) error {
	_, err := c.Write(message(id, entryOf(fmt.Sprintf("cn=p%d", n), []string{"objectClass", "user"},
		[]string{"mail", fmt.Sprintf("p%d@stadt.example", n)}, []string{"objectGUID", fmt.Sprintf("%016d", n)})).Bytes())
	return err
}

// raw sends bytes.
func (c *fakeConn) raw(b ...byte) { c.Write(b) }

// hang waits until the client has gone.
func (c *fakeConn) hang() { io.Copy(io.Discard, c.Conn) }

func TestAHealthyFakeGivesAList(t *testing.T) {
	f := newFake(t, func(c *fakeConn, id int64, n int) {
		for i := range 10 {
			c.person(id, 10*n+i)
		}
		c.end(id, 0, strings.Repeat("x", 2-n))
	})
	entries, err := f.patient().Read(t.Context())
	if err != nil || len(entries) != 30 {
		t.Fatalf("%d entries, %v; want 30", len(entries), err)
	}
}

func TestHalfAnAnswerIsNoList(t *testing.T) {
	referral := func(id int64) []byte {
		r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "")
		r.AppendChild(text("ldap://other.example/dc=x"))
		return message(id, r).Bytes()
	}
	nested := func(depth int) []byte { // constructed elements of indefinite length
		return append(bytes.Repeat([]byte{0x30, 0x80}, depth), bytes.Repeat([]byte{0, 0}, depth)...)
	}
	for name, search := range map[string]func(c *fakeConn, id int64, n int){
		"it hangs":                    func(c *fakeConn, _ int64, _ int) { c.hang() },
		"it hangs after some entries": func(c *fakeConn, id int64, _ int) { c.person(id, 1); c.hang() },
		"the connection breaks":       func(c *fakeConn, id int64, _ int) { c.person(id, 1); c.Close() },
		"it breaks within an entry":   func(c *fakeConn, id int64, _ int) { c.Write(message(id, entryOf("cn=x")).Bytes()[:9]); c.Close() },
		"it breaks on the second page": func(c *fakeConn, id int64, n int) {
			c.person(id, n)
			if n == 1 {
				c.Close()
				return
			}
			c.end(id, 0, "x")
		},
		"a limit of the server":        func(c *fakeConn, id int64, _ int) { c.person(id, 1); c.end(id, ldap.LDAPResultSizeLimitExceeded, "") },
		"a time limit of the server":   func(c *fakeConn, id int64, _ int) { c.person(id, 1); c.end(id, ldap.LDAPResultTimeLimitExceeded, "") },
		"a referral as the answer":     func(c *fakeConn, id int64, _ int) { c.end(id, ldap.LDAPResultReferral, "") },
		"a referral among the entries": func(c *fakeConn, id int64, _ int) { c.person(id, 1); c.Write(referral(id)); c.end(id, 0, "") },
		"no pages":                     func(c *fakeConn, id int64, _ int) { c.person(id, 1); c.done(id, ldap.ApplicationSearchResultDone, 0) },
		"more entries than asked for": func(c *fakeConn, id int64, _ int) {
			for i := range 11 {
				c.person(id, i)
			}
			c.end(id, 0, "")
		},
		"pages without end":        func(c *fakeConn, id int64, _ int) { c.end(id, 0, "same") },
		"another protocol":         func(c *fakeConn, _ int64, _ int) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); c.hang() },
		"an entry of 2 GB":         func(c *fakeConn, _ int64, _ int) { c.raw(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff); c.hang() },
		"a length of eight bytes":  func(c *fakeConn, _ int64, _ int) { c.raw(0x30, 0x88, 1, 2, 3, 4, 5, 6, 7, 8); c.hang() },
		"a length that never ends": func(c *fakeConn, _ int64, _ int) { c.raw(0x30, 0x80); c.hang() },
		"elements a million deep":  func(c *fakeConn, _ int64, _ int) { c.Write(nested(1 << 20)); c.hang() },
		"a number where a name belongs": func(c *fakeConn, id int64, _ int) {
			e := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
			e.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 7, ""))
			c.Write(message(id, e).Bytes())
			c.end(id, 0, "")
		},
		"a value that is a list": func(c *fakeConn, id int64, _ int) {
			set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
			set.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 7, ""))
			one := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
			one.AppendChild(text("mail"))
			one.AppendChild(set)
			list := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
			list.AppendChild(one)
			e := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
			e.AppendChild(text("cn=x"))
			e.AppendChild(list)
			c.Write(message(id, e).Bytes())
			c.end(id, 0, "")
		},
		"an attribute without values": func(c *fakeConn, id int64, _ int) {
			e := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
			e.AppendChild(text("cn=x"))
			list := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
			list.AppendChild(ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, ""))
			e.AppendChild(list)
			c.Write(message(id, e).Bytes())
			c.end(id, 0, "")
		},
		"an empty message":            func(c *fakeConn, _ int64, _ int) { c.raw(0x30, 0); c.hang() },
		"a message for somebody else": func(c *fakeConn, id int64, _ int) { c.end(id+100, 0, ""); c.hang() },
		"a large cookie":              func(c *fakeConn, id int64, _ int) { c.end(id, 0, strings.Repeat("x", maxOtherBytes)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, search)
			entries, err := f.source().Read(t.Context()) // who hangs does so for ever: this ends with the deadline
			if err == nil || entries != nil {
				t.Fatalf("%d entries were taken for the whole list", len(entries))
			}
			t.Log(err)
		})
	}
}

func TestElementsThatLieTooDeepNeverReachTheLibrary(t *testing.T) {
	for name, tag := range map[string]byte{"in an entry": tagSearchEntry, "in the end": 0x65} {
		f := newFake(t, func(c *fakeConn, id int64, _ int) {
			deep := []byte{}
			for range 1000 {
				deep = element(0x30, deep)
			}
			c.Write(element(0x30, []byte{2, 1, byte(id)}, element(tag, deep)))
			c.hang()
		})
		if _, err := f.source().Read(t.Context()); err == nil || !strings.Contains(err.Error(), "too deep") {
			t.Errorf("%s: %v, want that they lie too deep", name, err)
		}
	}
}

// element makes an element of others, with a length of four bytes.
func element(tag byte, content ...[]byte) []byte {
	all := bytes.Join(content, nil)
	return append([]byte{tag, 0x84, byte(len(all) >> 24), byte(len(all) >> 16), byte(len(all) >> 8), byte(len(all))}, all...)
}

func TestAReadingEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{})
	f := newFake(t, func(c *fakeConn, _ int64, _ int) { close(asked); c.hang() })
	s := f.source()
	s.opts.PageTime, s.opts.Time = time.Hour, time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := s.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was told to stop", err)
	}
}

func TestASlowServerMayTakeItsTimeButNotForEver(t *testing.T) {
	f := newFake(t, func(c *fakeConn, id int64, n int) {
		// The client sends nothing meanwhile, so this takes its time.
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		c.Read(make([]byte, 1))
		c.SetReadDeadline(time.Time{})
		c.person(id, n)
		c.end(id, 0, "more")
	})
	if _, err := f.source().Read(t.Context()); err == nil {
		t.Error("a server that trickles without end gave a list, want an error with the deadline of 2 s")
	}
}

func TestTenMillionEntriesNeitherFillTheMemoryNorAreTaken(t *testing.T) {
	sent := 0
	f := newFake(t, func(c *fakeConn, id int64, n int) {
		for i := range 500 {
			if c.person(id, 500*n+i) != nil {
				return
			}
			sent++
		}
		c.end(id, 0, "more")
	})
	s := f.source()
	s.opts.PageSize, s.opts.PageTime, s.opts.Time, s.opts.LDAP.MaxEntries = 500, time.Minute, time.Minute, 20_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	entries, err := s.Read(t.Context())
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "max_entries") {
		t.Errorf("%d entries, %v; want an error that names max_entries", len(entries), err)
	}
	f.ln.Close()
	f.done.Wait()
	if sent > 25_000 {
		t.Errorf("%d entries were read, want an end soon after 20,000", sent)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 200<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
}

// rangeOf sends a list in parts of so many members, as Active Directory does.
func rangeOf(members, part int) func(c *fakeConn, id int64, n int) {
	return func(c *fakeConn, id int64, n int) {
		low := n * part
		high := min(low+part, members) - 1
		name := fmt.Sprintf("member;range=%d-%d", low, high)
		if high == members-1 {
			name = fmt.Sprintf("member;range=%d-*", low)
		}
		values := []string{name}
		for i := low; i <= high; i++ {
			values = append(values, fmt.Sprintf("cn=p%d", i))
		}
		c.Write(message(id, entryOf("cn=alle", []string{"objectClass", "group"}, []string{"mail", "alle@stadt.example"}, []string{"member"}, values)).Bytes())
		c.end(id, 0, "")
	}
}

func TestALargeListIsReadInParts(t *testing.T) {
	for _, c := range []struct{ members, part int }{{4000, 1500}, {1500, 1500}, {1, 1500}, {3001, 1500}} {
		entries, err := newFake(t, rangeOf(c.members, c.part)).source().Read(t.Context())
		if err != nil || len(entries) != 1 || len(entries[0].Members) != c.members {
			t.Fatalf("%d members in parts of %d: %d entries, %v", c.members, c.part, len(entries), err)
		}
		for i, m := range entries[0].Members {
			if m != fmt.Sprintf("cn=p%d", i) {
				t.Fatalf("member %d is %s", i, m)
			}
		}
	}
}

func TestALargeListOfWhichPartsAreMissingIsNoList(t *testing.T) {
	group := func(attributes ...[]string) *ber.Packet {
		return entryOf("cn=alle", append([][]string{{"objectClass", "group"}, {"mail", "alle@stadt.example"}}, attributes...)...)
	}
	for name, answers := range map[string][][]string{
		"it begins in the middle":     {{"member;range=5-*", "cn=a"}},
		"fewer than it says":          {{"member;range=0-2", "cn=a"}},
		"a gap between two parts":     {{"member;range=0-0", "cn=a"}, {"member;range=5-*", "cn=b"}},
		"the same part again":         {{"member;range=0-0", "cn=a"}, {"member;range=0-0", "cn=a"}},
		"the second part never comes": {{"member;range=0-0", "cn=a"}, {"cn", "alle"}},
		"a range that goes backwards": {{"member;range=0-0", "cn=a"}, {"member;range=1-0", "cn=b"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(c *fakeConn, id int64, n int) {
				c.Write(message(id, group(answers[min(n, len(answers)-1)])).Bytes())
				c.end(id, 0, "")
			})
			entries, err := f.source().Read(t.Context())
			if err == nil {
				t.Errorf("taken: %+v", entries)
			}
		})
	}
}

func TestNoFilterCarriesWhatAnybodyWrote(t *testing.T) {
	var asked []string
	f := newFake(t, func(c *fakeConn, id int64, n int) {
		filter, err := ldap.DecompileFilter(c.request.Children[1].Children[6])
		if err != nil {
			t.Error(err)
		}
		asked = append(asked, filter)
		c.Write(message(id, entryOf("cn=*)(uid=*))(|(uid=*", []string{"objectClass", "group"}, []string{"mail", "*)(x=*@stadt.example"},
			[]string{fmt.Sprintf("member;range=%d-%s", n, map[bool]string{true: "0", false: "*"}[n == 0]), "cn=*)(y"})).Bytes())
		c.end(id, 0, "")
	})
	if _, err := f.patient().Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{presets[city.ActiveDirectory].filter, "(objectClass=*)"}
	for i, filter := range asked {
		if want[min(i, 1)] != filter {
			t.Errorf("search %d has the filter %s, want %s", i, filter, want[min(i, 1)])
		}
	}
}
