package app

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden/test/peer"

	"pgregory.net/rapid"
)

// A speaker is a connection to an IMAP server, ours or Dovecot.
type speaker struct {
	conn net.Conn
	br   *bufio.Reader
	n    int
}

// An answer is what a server said to one command.
type answer struct {
	status   string   // "OK", "NO" or "BAD"
	code     string   // the response code, without UIDVALIDITY
	untagged []string // each with its literals
}

// speakTo connects with TLS from the start.
func speakTo(t testing.TB, addr, user, password string) *speaker {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return logIn(t, conn, user, password)
}

// speakPlain connects to a Dovecot of this machine.
func speakPlain(t testing.TB, addr, user, password string) *speaker {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return logIn(t, conn, user, password)
}

func logIn(t testing.TB, conn net.Conn, user, password string) *speaker {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	s := &speaker{conn: conn, br: bufio.NewReader(conn)}
	if _, err := s.br.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if a, err := s.do(fmt.Sprintf("LOGIN %s %q", user, password)); err != nil || a.status != "OK" {
		t.Fatalf("log in: %+v, %v", a, err)
	}
	return s
}

var (
	literalEnd = regexp.MustCompile(`\{(\d+)\}\r\n$`)
	validity   = regexp.MustCompile(`(UIDVALIDITY|APPENDUID|COPYUID) \d+`)
)

// line reads one line with its literals.
func (s *speaker) line() (string, error) {
	var all strings.Builder
	for {
		line, err := s.br.ReadString('\n')
		if err != nil {
			return "", err
		}
		all.WriteString(line)
		m := literalEnd.FindStringSubmatch(line)
		if m == nil {
			return strings.TrimSuffix(all.String(), "\r\n"), nil
		}
		var size int
		fmt.Sscan(m[1], &size)
		b := make([]byte, size)
		for have := 0; have < size; {
			n, err := s.br.Read(b[have:])
			if err != nil {
				return "", err
			}
			have += n
		}
		all.Write(b)
	}
}

// do runs a command; a literal at its end is sent when the server asks for it.
func (s *speaker) do(command string, literal ...string) (a answer, err error) {
	s.n++
	tag := fmt.Sprintf("t%d", s.n)
	if err := s.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return a, err
	}
	if _, err := fmt.Fprintf(s.conn, "%s %s\r\n", tag, command); err != nil {
		return a, err
	}
	for {
		line, err := s.line()
		if err != nil {
			return a, fmt.Errorf("%s: %w", command, err)
		}
		switch rest, tagged := strings.CutPrefix(line, tag+" "); {
		case tagged:
			a.status, rest, _ = strings.Cut(rest, " ")
			if strings.HasPrefix(rest, "[") {
				a.code, _, _ = strings.Cut(validity.ReplaceAllString(rest[1:], "$1"), "]")
			}
			return a, nil
		case strings.HasPrefix(line, "+") && len(literal) > 0:
			if _, err := fmt.Fprintf(s.conn, "%s\r\n", literal[0]); err != nil {
				return a, err
			}
			literal = literal[1:]
		default:
			a.untagged = append(a.untagged, strings.TrimPrefix(line, "* "))
		}
	}
}

// A pair is the same mailbox on both servers, each with two connections.
type pair struct {
	t            *testing.T
	ours, theirs [2]*speaker
}

func startPair(t *testing.T) *pair {
	t.Helper()
	peer.Need(t, peer.DovecotProgram)
	n, _ := startReaders(t, "anna")
	d := peer.For(t, peer.Dovecot{Users: []string{"anna@stadt.example"}, Quiet: true})
	p := &pair{t: t}
	for i := range p.ours {
		p.ours[i] = speakTo(t, n.Listeners()["imap"], "anna@stadt.example", readerPassword)
		p.theirs[i] = speakPlain(t, d.IMAP(), "anna@stadt.example", peer.DovecotPassword)
	}
	return p
}

// both runs a command on both servers and returns what they said.
func (p *pair) both(rt *rapid.T, who int, command string, literal ...string) (ours, theirs answer) {
	rt.Helper()
	var err [2]error
	ours, err[0] = p.ours[who].do(command, literal...)
	theirs, err[1] = p.theirs[who].do(command, literal...)
	if err[0] != nil || err[1] != nil {
		rt.Fatalf("%s: %v, %v", command, err[0], err[1])
	}
	return ours, theirs
}

// comparable leaves out what servers may say in their own way: \Recent, which we have not,
// the order of flags, and untagged answers that only tell what changed elsewhere.
func comparable(a answer, keep string) []string {
	var list []string
	for _, line := range a.untagged {
		_, kind, _ := strings.Cut(line, " ")
		if strings.HasPrefix(line, keep) || strings.HasPrefix(kind, keep) {
			list = append(list, sortFlags(unquoted(line)))
		}
	}
	return list
}

// unquoted is a line whose name of a folder may be quoted or not.
func unquoted(line string) string {
	if strings.HasPrefix(line, "STATUS ") {
		return strings.ReplaceAll(line, `"`, "")
	}
	return line
}

var flagList = regexp.MustCompile(`FLAGS \(([^)]*)\)`)

func sortFlags(line string) string {
	return flagList.ReplaceAllStringFunc(line, func(m string) string {
		flags := strings.Fields(flagList.FindStringSubmatch(m)[1])
		flags = slices.DeleteFunc(flags, func(f string) bool { return f == `\Recent` })
		slices.Sort(flags)
		return "FLAGS (" + strings.Join(flags, " ") + ")"
	})
}

// agree runs a command on both and fails unless status, code and answers of a kind agree.
func (p *pair) agree(rt *rapid.T, who int, keep, command string, literal ...string) {
	rt.Helper()
	ours, theirs := p.both(rt, who, command, literal...)
	if ours.status != theirs.status || ours.status == "OK" && codeOf(ours) != codeOf(theirs) {
		rt.Fatalf("%s: we say %s [%s], Dovecot %s [%s]", command, ours.status, ours.code, theirs.status, theirs.code)
	}
	if keep == "" {
		return
	}
	if a, b := comparable(ours, keep), comparable(theirs, keep); !slices.Equal(a, b) {
		rt.Fatalf("%s: we say\n  %s\nDovecot\n  %s", command, strings.Join(a, "\n  "), strings.Join(b, "\n  "))
	}
}

// codeOf returns the codes that both servers must agree in.
func codeOf(a answer) string {
	if strings.HasPrefix(a.code, "APPENDUID") || strings.HasPrefix(a.code, "COPYUID") {
		return a.code
	}
	return ""
}

// compared are mails whose every answer must be the same. All have a date: without one
// Dovecot takes a mail for one of 1970, and we for one without date.
var compared = []string{
	"From: =?utf-8?q?J=C3=B6rg?= <joerg@fern.example>\r\nTo: anna@stadt.example, \"B, Bert\" <bert@stadt.example>\r\nSubject: Antrag eins\r\nDate: Sun, 22 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@fern.example>\r\n\r\nGuten Tag, das Formular.\r\n",
	"From: a@b.example\r\nSubject: =?utf-8?b?w5xiZXJnYWJl?=\r\nDate: Fri, 20 Nov 2026 23:30:00 -0500\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\nvor\r\n--=_x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nB=C3=BCrgerb=C3=BCro\r\n--=_x\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nSGFsbG8=\r\n--=_x--\r\nnach\r\n",
	"From: (Kommentar) c@d.example\r\nTo: Gruppe: e@f.example, g@h.example;\r\nSubject: Weiter\r\n gefaltet\r\nDate: Thu, 19 Nov 2026 12:00:00 +0000\r\nContent-Type: message/rfc822\r\n\r\nFrom: x@y.example\r\nSubject: innen\r\n\r\nInhalt\r\n",
	"From: \"Amt, Das\" <amt@stadt.example> (Rathaus)\r\nSubject: weitergeleitet\r\nDate: Sat, 21 Nov 2026 09:00:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"a;b\"; x-leer=\r\n\r\n--a;b\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\nText\r\n--i\r\nContent-Type: TEXT/HTML; charset=\"UTF-8\"\r\n\r\n<p>Text\r\n--i--\r\n--a;b\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment; filename=x.eml\r\nContent-Description: Die Mail\r\n\r\nFrom: y@z.example\r\nTo: undisclosed-recipients:;\r\nSubject: innen\r\n\r\nInhalt\r\n--a;b--\r\n",
	"Subject: leer\r\nDate: Sat, 21 Nov 2026 01:00:00 +0000\r\n\r\n",
}

// comparing is how long random commands are compared, and a bit.
const comparing = 6 * time.Second

func TestRandomCommandsHaveTheSameAnswersAsDovecot(t *testing.T) {
	p := startPair(t)
	round, began := 0, time.Now()
	rapid.Check(t, func(rt *rapid.T) {
		if round++; time.Since(began) > comparing {
			return
		}
		a, b := fmt.Sprintf("Eins%d", round), fmt.Sprintf("Zwei%d", round)
		for _, name := range []string{a, b} {
			p.agree(rt, 0, "", "CREATE "+name)
		}
		for who := range 2 {
			p.agree(rt, who, "", "SELECT "+a)
		}
		set := rapid.SampledFrom([]string{"1", "2", "1:*", "*", "2:3", "1,3", "3:1", "4:*"})
		flags := rapid.SampledFrom([]string{`\Seen`, `\Flagged \Seen`, `\Deleted`, `\Answered`, `\Draft`, `$label1`, ``, `$Forwarded \Deleted`})
		search := rapid.SampledFrom([]string{"ALL", "UNSEEN", "DELETED", "NOT FLAGGED", "OR SEEN DELETED", "KEYWORD $label1", "UNKEYWORD $label1", "1:2", "UID 2:*",
			"SUBJECT antrag", "SUBJECT gefaltet", `FROM "joerg"`, "TO bert", "LARGER 300", "SMALLER 300", "SMALLER 300 SINCE 21-Nov-2026", "SMALLER 0 ON 22-Nov-2026", "SINCE 21-Nov-2026", "BEFORE 21-Nov-2026", "ON 22-Nov-2026",
			"SENTBEFORE 21-Nov-2026", "SENTON 22-Nov-2026", "BODY formular", "TEXT fern.example", "NOT BODY formular", "HEADER Message-ID \"\"", "HEADER To f.example", "CHARSET UTF-8 SUBJECT {9}"})
		for range rapid.IntRange(3, 14).Draw(rt, "steps") {
			who := rapid.IntRange(0, 1).Draw(rt, "who")
			uid := rapid.SampledFrom([]string{"", "UID "}).Draw(rt, "uid")
			op := rapid.IntRange(0, 9).Draw(rt, "op")
			if uid == "" && op > 2 { // numbers of mails that the server has not removed yet mean nothing
				p.agree(rt, who, "", "NOOP")
			}
			empty, _ := p.both(rt, who, "UID SEARCH ALL")
			some := strings.Join(empty.untagged, "") != "SEARCH"
			switch {
			case op <= 2:
				mail := rapid.SampledFrom(compared).Draw(rt, "mail")
				date := rapid.SampledFrom([]string{"20-Nov-2026 08:00:00 +0000", "22-Nov-2026 12:00:00 +0000"}).Draw(rt, "date")
				p.agree(rt, who, "", fmt.Sprintf("APPEND %s (%s) %q {%d}", a, flags.Draw(rt, "flags"), date, len(mail)), mail)
			case !some && uid == "": // sequence numbers that are not there: servers differ in NO, BAD and OK
			case op <= 4:
				kind := rapid.SampledFrom([]string{"+FLAGS", "-FLAGS", "FLAGS", "+FLAGS.SILENT"}).Draw(rt, "kind")
				p.within(rt, who, uid, set.Draw(rt, "set"), func(set string) string { return fmt.Sprintf("STORE %s %s (%s)", set, kind, flags.Draw(rt, "flags")) })
			case op == 5:
				p.within(rt, who, uid, set.Draw(rt, "set"), func(set string) string { return "COPY " + set + " " + b })
			case op == 6:
				p.within(rt, who, uid, set.Draw(rt, "set"), func(set string) string { return "MOVE " + set + " " + b })
			case op == 7:
				p.agree(rt, who, "", rapid.SampledFrom([]string{"EXPUNGE", "UID EXPUNGE 1:2", "UID EXPUNGE *"}).Draw(rt, "expunge"))
			default:
				q := search.Draw(rt, "search")
				if strings.Contains(q, "{9}") {
					p.agree(rt, who, "SEARCH", uid+"SEARCH "+q, "Übergabe")
				} else if some {
					p.agree(rt, who, "SEARCH", uid+"SEARCH "+q)
				}
			}
			for other := range 2 {
				p.agree(rt, other, "", "NOOP")
				p.agree(rt, other, "FETCH", "UID FETCH 1:* (FLAGS RFC822.SIZE)")
			}
		}
		p.agree(rt, 0, "STATUS", "STATUS "+b+" (MESSAGES UIDNEXT UNSEEN)")
		for _, item := range []string{"BODYSTRUCTURE", "BODY", "INTERNALDATE", "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]", "BODY.PEEK[1]", "BODY.PEEK[2]",
			"BODY.PEEK[1.MIME]", "BODY.PEEK[1.HEADER]", "BODY.PEEK[1.TEXT]", "BODY.PEEK[1.2]", "BODY.PEEK[2.HEADER]", "BODY.PEEK[2.TEXT]", "BODY.PEEK[2.HEADER.FIELDS (Subject)]", "BODY.PEEK[HEADER.FIELDS (Subject To)]", "BODY.PEEK[HEADER.FIELDS.NOT (Subject)]",
			"BODY.PEEK[TEXT]<5.20>", "BODY.PEEK[]<9999.5>", "BINARY.PEEK[1]", "BINARY.SIZE[2]"} {
			p.item(rt, item)
		}
		for who := range 2 {
			p.agree(rt, who, "", "UNSELECT")
		}
		p.agree(rt, 0, "", "DELETE "+a)
		p.agree(rt, 1, "", "DELETE "+b)
	})
}

var (
	oneItem = regexp.MustCompile(`(?is)^\d+ FETCH \((?:UID \d+ )?[A-Z.0-9]+(?:\[[^\]]*\])?(?:<\d+>)? (.*)\)$`)
	octets  = regexp.MustCompile(`^~?\{\d+\}\r\n`)
)

// item fetches one item of all mails and compares what it is, however it is written: NIL,
// an empty string or an empty literal are the same.
func (p *pair) item(rt *rapid.T, item string) {
	rt.Helper()
	ours, theirs := p.both(rt, 0, "UID FETCH 1:* ("+item+")")
	values := func(a answer) (list []string) {
		for _, line := range a.untagged {
			m := oneItem.FindStringSubmatch(line)
			if m == nil {
				list = append(list, "?"+line)
				continue
			}
			v := octets.ReplaceAllString(m[1], "")
			if v == "NIL" || v == `""` {
				v = ""
			}
			// RFC 2046, section 5.1.1: the line end before a delimiter is the delimiter's. Dovecot
			// counts it to a nested multipart.
			v = strings.ReplaceAll(v, "--i--\r\n", "--i--")
			if strings.HasPrefix(item, "BODY") && !strings.Contains(item, "[") {
				v = strings.ReplaceAll(strings.ToLower(v), ") (", ")(")
			}
			list = append(list, v)
		}
		return list
	}
	if a, b := values(ours), values(theirs); ours.status != theirs.status || !slices.Equal(a, b) {
		rt.Fatalf("%s: we say %s\n  %q\nDovecot %s\n  %q", item, ours.status, a, theirs.status, b)
	}
}

// within runs a command on a set, with UIDs or with sequence numbers that are there.
func (p *pair) within(rt *rapid.T, who int, uid, set string, command func(set string) string) {
	if uid == "" {
		set = "1:*"
	}
	p.agree(rt, who, "", uid+command(set))
}
