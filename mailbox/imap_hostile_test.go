package mailbox

import (
	"bufio"
	"context"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// A script is a server's side of a dialogue: what it writes after each line that it reads,
// with %T for the tag of that line.
type script []string

// serve plays a script for every connection until the test ends. What follows the last
// answer is the end of the connection; "…" as the last answer repeats the one before it
// for ever.
func (s script) serve(t testing.TB) string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.play(c)
		}
	}()
	return l.Addr().String()
}

func (s script) play(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	lines := bufio.NewReader(c)
	io.WriteString(c, "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL- UIDPLUS] ready\r\n")
	tag := ""
	for i, answer := range s {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if word, _, more := strings.Cut(line, " "); more { // the end of a literal has no tag
			tag = word
		}
		if i+2 == len(s) && s[i+1] == "…" {
			for err == nil {
				_, err = io.WriteString(c, answer)
			}
			return
		}
		if _, err := io.WriteString(c, strings.ReplaceAll(answer, "%T", tag)); err != nil {
			return
		}
	}
}

// in is a log-in that works.
const in = "%T OK [CAPABILITY IMAP4rev1 LITERAL- UIDPLUS] in\r\n"

// inbox is a folder that opens.
const inbox = "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 4] x\r\n%T OK done\r\n"

// hostile opens a mailbox of a server that plays a script.
func hostile(t testing.TB, s script, timeout time.Duration) (Session, error) {
	m, err := NewIMAP(IMAPOptions{Addr: s.serve(t), User: "master", Password: func() (string, error) { return "geheim", nil },
		Inbox: "INBOX", AtOnce: 1, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m.Open(context.Background(), doppelboden.Address{Local: "amt", Domain: "stadt.example"})
}

func TestAServerThatAnswersWithoutEndIsCutOff(t *testing.T) {
	look := func(s Session) error {
		if _, err := s.Select(t.Context(), ""); err != nil {
			return err
		}
		return s.Seen(t.Context(), 1, func(Seen) error { return nil })
	}
	list := func(s Session) error { _, err := s.Folders(t.Context(), 10); return err }
	for name, c := range map[string]struct {
		script script
		do     func(Session) error
	}{
		"numbers":         {script{in, inbox, "* SEARCH 1 3 5 7 9 11 13 15 17 19\r\n", "…"}, look},
		"one long number": {script{in, inbox, "11111111", "…"}, look},
		"a range of all":  {script{in, inbox, "* ESEARCH UID ALL 1:4294967295\r\n%T OK done\r\n"}, look},
		"folders":         {script{in, "* LIST () \"/\" x\r\n%T OK x\r\n", "* LIST () \"/\" \"ein Ordner\"\r\n", "…"}, list},
		"one folder":      {script{in, "* LIST () \"/\" \"", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "…"}, list},
		"a huge literal":  {script{in, "* LIST () \"/\" {9223372036854775807}\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxx", "…"}, list},
		"lists in lists":  {script{in, inbox, "* SEARCH 1\r\n%T OK x\r\n", "* 1 FETCH (BODY ((((((((((((((((((((((((((((((((", "…"}, look},
		"a header":        {script{in, inbox, "* SEARCH 1\r\n%T OK x\r\n", "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (RECEIVED)]<0> {99999999999}\r\nReceived: xxxxxxxxxxxxxxxxxxxxxxxxx", "…"}, look},
		"a header of no end": {script{in, inbox, "* SEARCH 1\r\n%T OK x\r\n",
			"* 1 FETCH (UID 1 BODY[HEADER.FIELDS (RECEIVED)]<0> {20000000}\r\n" + strings.Repeat("Received: x\r\n", 2_000_000) + ")\r\n%T OK x\r\n"}, look},
		"things nobody asked for": {script{in, "* OK [ALERT] buy more\r\n", "…"}, look},
		"nothing at all":          {script{in, inbox, ""}, look},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s, err := hostile(t, c.script, 3*time.Second)
			if err != nil {
				t.Fatal("open:", err)
			}
			defer s.Close()
			start := time.Now()
			err = c.do(s)
			if doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
				t.Errorf("error %v, want a temporary one", err)
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("it took %v", d)
			}
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 400<<20 {
				t.Errorf("memory has grown by %d MB", grown>>20)
			}
		})
	}
}

func TestALoginIsJudgedByWhatTheServerSays(t *testing.T) {
	for name, c := range map[string]struct {
		script script
		want   doppelboden.Code
	}{
		"a plain no":       {script{"%T NO no\r\n"}, doppelboden.Policy},
		"wrong password":   {script{"%T NO [AUTHENTICATIONFAILED] no\r\n"}, doppelboden.Policy},
		"not for you":      {script{"%T NO [AUTHORIZATIONFAILED] no\r\n"}, doppelboden.Policy},
		"later":            {script{"%T NO [UNAVAILABLE] later\r\n"}, doppelboden.Temporary},
		"too many":         {script{"%T NO [LIMIT] later\r\n"}, doppelboden.Temporary},
		"something new":    {script{"%T NO [XYZZY] later\r\n"}, doppelboden.Temporary},
		"not understood":   {script{"%T BAD what\r\n"}, doppelboden.Temporary},
		"bye":              {script{"* BYE gone\r\n"}, doppelboden.Temporary},
		"nonsense":         {script{"HTTP/1.1 400 Bad Request\r\n\r\n"}, doppelboden.Temporary},
		"the end":          {script{""}, doppelboden.Temporary},
		"a list of lists":  {script{"%T OK [CAPABILITY IMAP4rev1 (x)] in\r\n"}, doppelboden.Temporary},
		"a list, untagged": {script{"* CAPABILITY\t(\r\n%T OK in\r\n"}, doppelboden.Temporary},
		"a list at once":   {script{"* OK [capability(\r\n%T OK in\r\n"}, doppelboden.Temporary},
		"another question": {script{"+ dGVzdA==\r\n", "+ dGVzdA==\r\n", "%T NO no\r\n"}, doppelboden.Temporary},
	} {
		_, err := hostile(t, c.script, time.Second)
		if err == nil || doppelboden.CodeOf(err) != c.want {
			t.Errorf("%s: %v with code %v, want %v", name, err, doppelboden.CodeOf(err), c.want)
		}
	}
}

func TestAnAppendIsInDoubtOnlyWhenTheServerMayHaveIt(t *testing.T) {
	for name, c := range map[string]struct {
		answer string // to the literal's announcement, and to the rest
		rest   string
		doubt  bool
		code   doppelboden.Code
	}{
		"refused at once":       {"%T NO [OVERQUOTA] full\r\n", "", false, doppelboden.Temporary},
		"too big":               {"%T NO [TOOBIG] too big\r\n", "", false, doppelboden.Policy},
		"refused afterwards":    {"+ go\r\n", "%T NO [OVERQUOTA] full\r\n", false, doppelboden.Temporary},
		"not understood":        {"+ go\r\n", "%T BAD what\r\n", false, doppelboden.Temporary},
		"no answer":             {"+ go\r\n", "", true, doppelboden.Temporary},
		"an answer to another":  {"+ go\r\n", "X99 OK done\r\n", true, doppelboden.Temporary},
		"nonsense":              {"+ go\r\n", "%T MAYBE done\r\n", true, doppelboden.Temporary},
		"gone before the bytes": {"", "", false, doppelboden.Temporary},
	} {
		s, err := hostile(t, script{in, inbox, c.answer, c.rest}, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Select(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		// The body is one line, so that the server's next line is the end of the command.
		uids, err := s.Append(t.Context(), []Mail{asMail([]byte(strings.Repeat("x", 5000)), time.Now())})
		if len(uids) > 0 || err == nil || InDoubt(err) != c.doubt || doppelboden.CodeOf(err) != c.code {
			t.Errorf("%s: UIDs %v, error %v, in doubt %v with code %v, want doubt %v with code %v", name, uids, err, InDoubt(err), doppelboden.CodeOf(err), c.doubt, c.code)
		}
		s.Close()
	}
}

func FuzzServer(f *testing.F) {
	f.Add(in + "\x00" + inbox + "\x00* SEARCH 1 2\r\n%T OK x\r\n\x00* 1 FETCH (UID 1 RFC822.SIZE 5 INTERNALDATE \"22-Nov-2026 10:00:00 +0000\" BODY[HEADER.FIELDS (RECEIVED)]<0> {4}\r\na\r\n\r\n)\r\n%T OK x\r\n")
	f.Add(in + "\x00* LIST (\\HasNoChildren) \".\" \"&-\"\r\n%T OK x\r\n\x00* LIST () NIL {3}\r\nabc\r\n%T OK x\r\n")
	f.Add("%T NO [AUTHENTICATIONFAILED] no\r\n")
	f.Add("+ \r\n\x00%T OK in\r\n\x00* CAPABILITY IMAP4rev1\r\n%T OK x\r\n\x00" + inbox + "\x00+ go\r\n\x00%T OK [APPENDUID 7 4] x\r\n")
	f.Add("%T OK [CAPABILITY IMAP4rev1 LITERAL+ MULTIAPPEND] in\r\n\x00" + inbox + "\x00* SEARCH\r\n%T OK x\r\n\x00T4 OK [APPENDUID 7 4] x\r\n\x00\x00T5 OK [APPENDUID 7 5:6,9] x\r\n")
	f.Fuzz(func(t *testing.T, dialogue string) {
		// A client that turns in circles ends no test by itself.
		defer time.AfterFunc(5*time.Second, func() { panic("it takes more than 5 s: " + strconv.Quote(dialogue)) }).Stop()
		s, err := hostile(t, strings.Split(dialogue, "\x00"), 20*time.Millisecond)
		if err != nil {
			return
		}
		defer s.Close()
		ctx := t.Context()
		if _, err := s.Select(ctx, ""); err == nil {
			_ = s.Seen(ctx, 1, func(m Seen) error { // what it says is not wrong or right
				if m.UID == 0 {
					t.Error("a mail without a UID")
				}
				return nil
			})
			uids, err := s.Append(ctx, []Mail{asMail([]byte("x\r\n"), time.Now())})
			if len(uids) > 1 || err == nil && len(uids) != 1 {
				t.Errorf("UIDs %v and error %v", uids, err)
			}
			one := asMail([]byte("x\r\n"), time.Now())
			if done, err := s.(*session).AppendAll(ctx, []Mail{one, one}); done && err != nil {
				t.Errorf("done, and error %v", err)
			}
		}
		if names, err := s.Folders(ctx, 3); err == nil && (len(names) > 3 || len(names) == 0) {
			t.Errorf("%d folders, want 1 to 3", len(names))
		}
	})
}

func TestOurTopmostReceivedLineCountsAndNoOther(t *testing.T) {
	id, other := ids.New(time.Now()), ids.New(time.Now())
	ours := "Received: from x ([192.0.2.1])\r\n\tby mx.stadt.example (Doppelboden) with ESMTP id " + id.String() + ";\r\n\tnow\r\n"
	for name, c := range map[string]struct {
		header string
		want   doppelboden.ID
	}{
		"ours":                  {ours, id},
		"with a recipient":      {strings.Replace(ours, ";", "\r\n\tfor <a@b.example>;", 1), id},
		"of an own sender":      {strings.Replace(ours, "(Doppelboden)", "(Doppelboden submission)", 1), id},
		"of a notice":           {"Received: by mx.stadt.example (Doppelboden) with local id " + id.String() + ";\r\n\tnow\r\n", id},
		"bare LF":               {strings.ReplaceAll(ours, "\r\n", "\n"), id},
		"below the groupware's": {"Received: from mx by gw.example (Postfix) id 7; now\r\nreceived: by x with LMTP\r\n" + ours, id},
		"above a forged one":    {ours + strings.Replace(ours, id.String(), other.String(), 1), id},
		"cut off":               {ours[:len(ours)-30], doppelboden.ID{}},
		"in a HELO":             {strings.Replace(ours, "from x", "from by mx Doppelboden with ESMTP id "+other.String(), 1), id},
		"in another field":      {"X-" + ours, doppelboden.ID{}},
		"somebody else's":       {"Received: from a by b (Postfix) with ESMTP id " + id.String() + "; now\r\n", doppelboden.ID{}},
		"no id":                 {strings.Replace(ours, id.String(), "17", 1), doppelboden.ID{}},
		"nothing":               {"", doppelboden.ID{}},
	} {
		if got := receivedID([]byte(c.header)); got != c.want {
			t.Errorf("%s: id %v, want %v", name, got, c.want)
		}
	}
}

func FuzzReceivedID(f *testing.F) {
	f.Add([]byte("Received: by x (Doppelboden) with ESMTP id 019aaaaa-0000-7000-8000-000000000000;\r\n"))
	f.Add([]byte("Received:\n by x (Doppelboden\n submission) with\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		id := receivedID(header)
		if !id.IsZero() && !strings.Contains(strings.ToLower(string(header)), id.String()) {
			t.Errorf("id %v of a header that does not hold it: %q", id, header)
		}
	})
}
