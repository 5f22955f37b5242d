package mailbox

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// all puts mails into the inbox of a mailbox at once.
func all(t *testing.T, m *IMAP, local string, mails []Mail) (s *session, done bool, err error) {
	t.Helper()
	c, err := m.Change(t.Context(), owner(local))
	if err != nil {
		t.Fatalf("open %s: %v", local, err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Enter(t.Context(), ""); err != nil {
		t.Fatalf("enter the inbox of %s: %v", local, err)
	}
	done, err = c.AppendAll(t.Context(), mails)
	return c.(*session), done, err
}

func allAtOnce(t *testing.T, m *IMAP) {
	date := time.Date(2026, 8, 3, 23, 30, 0, 0, time.UTC)
	a, b, c := ids.New(time.Now()), ids.New(time.Now()), ids.New(time.Now())
	big := trace(b, strings.Repeat("0123456789abcdef\r\n", 20000))
	mails := []Mail{asMail(trace(a, "{3}\r\n"), date, `\Seen`, `\Draft`), asMail(big, date), asMail(trace(c, "8 bit: \xfc\r\n"), date, `$Forwarded`)}
	s, done, err := all(t, m, "all", mails)
	if !done || err != nil {
		t.Fatalf("done %v, %v; want that a Dovecot takes several mails", done, err)
	}
	marks, err := s.Marks(t.Context(), []uint32{1, 2, 3, 4}) // the session goes on
	if err != nil || len(marks) != 3 {
		t.Fatalf("there are %+v, %v; want three mails", marks, err)
	}
	for i, want := range []doppelboden.ID{a, b, c} {
		if got := marks[i]; got.ID != want || got.Size != mails[i].Size || !got.Date.Equal(date) {
			t.Errorf("mail %d is %+v, want id %s, %d octets, %v", i, got, want, mails[i].Size, date)
		}
		if got := slices.DeleteFunc(marks[i].Flags, func(f string) bool { return f == `\Recent` }); len(got) != len(mails[i].Flags) {
			t.Errorf("mail %d has the flags %q, want %q", i, got, mails[i].Flags)
		}
	}
	if done, err := s.AppendAll(t.Context(), mails[:1]); !done || err != nil {
		t.Errorf("one mail: done %v, %v", done, err)
	}
	if uids, err := s.Append(t.Context(), mails[2:]); err != nil || !slices.Equal(uids, []uint32{5}) {
		t.Errorf("a mail by itself afterwards has the UID %v, %v; want 5", uids, err)
	}
}

func allRefused(t *testing.T, m *IMAP) {
	fits := asMail(trace(ids.New(time.Now()), strings.Repeat("x", 900_000)), time.Now())
	s, done, err := all(t, m, "crowded", []Mail{fits, fits, fits})
	if done || err != nil {
		t.Fatalf("beyond the quota: done %v, %v; want that it was not done, and no error", done, err)
	}
	if f, err := s.Enter(t.Context(), ""); err != nil || f.Exists != 0 {
		t.Errorf("%d mails are there (%v), want none of the three", f.Exists, err)
	}
}

func cutOffBetweenMails(t *testing.T, m *IMAP) {
	short := asMail(trace(ids.New(time.Now()), "x"), time.Now())
	short.Size += 5000
	_, done, err := all(t, m, "b", []Mail{asMail([]byte("Subject: first\r\n\r\n"), time.Now()), short})
	if done || err == nil || InDoubt(err) {
		t.Errorf("done %v, %v, in doubt %v; want a clear error", done, err, InDoubt(err))
	}
	s, f := opened(t, m, "b", "")
	if found, err := s.Find(t.Context(), []doppelboden.ID{ids.New(time.Now())}); err != nil || len(found) > 0 {
		t.Errorf("found %v, %v", found, err)
	}
	if f.Exists > 0 && slices.ContainsFunc(lies(t, s, 1), func(m Seen) bool { return m.Size == 18 }) {
		t.Error("the first mail of a command that was broken off is there")
	}
}

func TestSeveralMailsAtOnceAreInDoubtOnlyWhenTheServerMayHaveThem(t *testing.T) {
	const able = "%T OK [CAPABILITY IMAP4rev1 LITERAL+ MULTIAPPEND UIDPLUS] in\r\n"
	for name, c := range map[string]struct {
		in, answer  string
		done, doubt bool
		fails       bool
	}{
		"taken":                 {able, "T3 OK [APPENDUID 7 4:5] done\r\n", true, false, false},
		"taken, UIDs apart":     {able, "T3 OK [APPENDUID 7 4,9:12,40] done\r\n", true, false, false},
		"taken without a word":  {able, "T3 OK done\r\n", true, false, false},
		"refused":               {able, "T3 NO [OVERQUOTA] full\r\n", false, false, false},
		"not understood":        {able, "T3 BAD what\r\n", false, false, true},
		"too much at once":      {able, "T3 BAD [TOOBIG] what\r\n", false, false, true},
		"no answer":             {able, "", false, true, true},
		"the answer is cut off": {able, "T3 OK [APPENDUID 7 4:", false, true, true},
		"nonsense":              {able, "T3 MAYBE done\r\n", false, true, true},
		"no MULTIAPPEND":        {strings.Replace(able, "MULTIAPPEND ", "", 1), "T3 NO no\r\n", false, false, false},
		"LITERAL- alone":        {strings.Replace(able, "LITERAL+", "LITERAL-", 1), "T3 NO no\r\n", false, false, false},
	} {
		// The command has three lines: each ends with a literal's announcement or the end.
		s, err := hostile(t, script{c.in, inbox, "", "", c.answer}, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Select(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		one := asMail([]byte(strings.Repeat("x", 5000)), time.Now(), `\Seen`)
		done, err := s.(*session).AppendAll(t.Context(), []Mail{one, one})
		if done != c.done || InDoubt(err) != c.doubt || (err != nil) != c.fails {
			t.Errorf("%s: done %v, error %v, in doubt %v; want done %v, an error %v, doubt %v", name, done, err, InDoubt(err), c.done, c.fails, c.doubt)
		}
		if answer, ok := Said(err); ok || err != nil && doppelboden.CodeOf(err) != doppelboden.Temporary {
			t.Errorf("%s: %v says of one of the mails that it is not wanted: %+v", name, err, answer)
		}
		if done, err := s.(*session).AppendAll(t.Context(), []Mail{one, one}); strings.Contains(c.answer, "BAD") && (done || err != nil) {
			t.Errorf("%s, once more: done %v, %v; want that they are left to go one by one", name, done, err)
		}
		s.Close()
	}
}

// said is a connection from which a text is read in pieces.
type said struct {
	net.Conn
	pieces []string
}

func (s *said) Read(b []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func TestOfSeveralUIDsTheClientLibraryReadsTheFirst(t *testing.T) {
	const mail = "* 1 FETCH (UID 1 BODY[] {40}\r\nT1 OK [APPENDUID 7 4:5] x\r\nT2 OK [APPEN)\r\n"
	for in, want := range map[string]string{
		"T1 OK [APPENDUID 7 4:5] x\r\n* 5 EXISTS\r\n":            "T1 OK [APPENDUID 7 4] x\r\n* 5 EXISTS\r\n",
		"T1 OK [appenduid 7 4,6:9,11] a:b,c]\r\n":                "T1 OK [appenduid 7 4] a:b,c]\r\n",
		"T1 OK [APPENDUID 7 4] x:y\r\n":                          "T1 OK [APPENDUID 7 4] x:y\r\n",
		"T1 OK [APPENDUID 7 4:5\r\nT2 OK a:b\r\n":                "T1 OK [APPENDUID 7 4\r\nT2 OK a:b\r\n",
		"T1 OK [COPYUID 7 4:5 9:10] x\r\n":                       "T1 OK [COPYUID 7 4:5 9:10] x\r\n",
		"* OK [APPENDUID 7 4:5] x\r\n" + mail:                    "* OK [APPENDUID 7 4:5] x\r\n" + mail,
		"T3 OK [APPENDUID 7 4:5] x\r\n" + mail + "T4 OK a:b\r\n": "T3 OK [APPENDUID 7 4] x\r\n" + mail + "T4 OK a:b\r\n",
	} {
		for size := 1; size <= len(in); size++ {
			c := &said{}
			for piece := range slices.Chunk([]byte(in), size) {
				c.pieces = append(c.pieces, string(piece))
			}
			got, err := io.ReadAll(&filter{Conn: c})
			if err != nil || string(got) != want {
				t.Fatalf("%q in pieces of %d: %q, %v; want %q", in, size, got, err, want)
			}
		}
	}
	bad := &filter{Conn: &said{Conn: nowhere{}, pieces: []string{"* CAPABILITY (x)\r\n"}}}
	if _, err := io.Copy(&bytes.Buffer{}, bad); !errors.Is(err, errNonsense) {
		t.Errorf("a list of lists: %v, want %v", err, errNonsense)
	}
}

// nowhere is a connection that can be closed.
type nowhere struct{ net.Conn }

func (nowhere) Close() error { return nil }
