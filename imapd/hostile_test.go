package imapd

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestALiteralOfARefusedCommandIsNeverACommand(t *testing.T) {
	r := start(t, nil)
	c := r.rawIn(t, "anna@stadt.example")
	c.do("CREATE Wichtig", "OK")
	hostile := "x DELETE Wichtig\r\ny CREATE Gekapert\r\n"
	for name, command := range map[string]string{
		"a date that cannot be read":   `a APPEND INBOX "gestern" {%d+}` + "\r\n%s\r\n",
		"an unknown command":           "a FETZ {%d+}\r\n%s\r\n",
		"a folder that cannot be read": "a APPEND &&& {%d+}\r\n%s\r\n",
		"an unknown key":               "a SEARCH FOO {%d+}\r\n%s\r\n",
	} {
		c.send(fmt.Sprintf(command, len(hostile), hostile))
		got := c.until("a", "", name)
		if strings.Contains(got, "x ") || strings.Contains(got, "y ") {
			t.Errorf("%s: %s", name, got)
		}
	}
	c.do("APPEND INBOX \"gestern\" {500}", "")
	c.do("STATUS Wichtig (MESSAGES)", "OK")
	c.do("STATUS Gekapert (MESSAGES)", "NO")
}

func TestWhatNoProgramSendsEndsTheConnection(t *testing.T) {
	r := start(t, nil)
	many := "a SEARCH"
	for range 40 {
		many += " TEXT {4000+}\r\n" + strings.Repeat("x", 4000)
	}
	for name, sent := range map[string]string{
		"a line without end":        strings.Repeat("A", 60<<10),
		"a literal without asking":  "a APPEND INBOX {5000+}\r\n",
		"very many literals":        many + "\r\n",
		"a literal of all memory":   "a APPEND INBOX {99999999999+}\r\n",
		"literals of ID":            "a ID (\"x\" {4096+}\r\n" + strings.Repeat("x", 4096) + strings.Repeat(" {4096+}\r\n"+strings.Repeat("x", 4096), 20) + ")\r\n",
		"an ID without a good tag":  "\x01 ID NIL\r\n",
		"numbers of literals spill": "a LOGIN {99999999999999999999+}\r\n",
	} {
		c := r.rawIn(t, "anna@stadt.example")
		c.conn.Write([]byte(sent)) // it may be cut off in the middle
		if name == "numbers of literals spill" {
			c.until("a", "BAD", name)
			continue
		}
		if got := c.ended(); !strings.Contains(got, "* BYE") {
			t.Errorf("%s: ended with %.200q, want a BYE", name, got)
		}
	}
}

func TestALargeLiteralIsRefusedBeforeItIsSent(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = 10000 })
	c := r.rawIn(t, "anna@stadt.example")
	c.do("APPEND INBOX {10001}", "NO [TOOBIG]")
	c.do("SELECT {5000}", "NO [TOOBIG]")
	c.send("a APPEND INBOX {10000}\r\n")
	c.want("+")
	c.send(strings.Repeat("x", 10000) + "\r\n")
	c.until("a", "OK [APPENDUID 1001 1]", "APPEND")
}

func TestSilentClientsAreSentAway(t *testing.T) {
	// Each with a time of its own: on a busy machine the others must not end meanwhile.
	r := start(t, func(o *Options) { o.LoginTime = 300 * time.Millisecond })
	if got := r.raw(t).ended(); !strings.Contains(got, "* BYE") {
		t.Errorf("without a log-in: %q", got)
	}
	r = start(t, func(o *Options) { o.IdleTime = time.Second })
	idle := r.rawIn(t, "anna@stadt.example")
	idle.send("a IDLE\r\n")
	idle.want("+")
	if got := idle.ended(); !strings.Contains(got, "* BYE") {
		t.Errorf("while idling: %q", got)
	}
	r = start(t, func(o *Options) { o.CommandTime = time.Second })
	half := r.rawIn(t, "anna@stadt.example")
	half.send("a APPEND INBOX {100}\r\nabc")
	if got := half.ended(); !strings.Contains(got, "* BYE") || len(r.boxes[1].find(1).mails) != 0 {
		t.Errorf("in the middle of a mail: %q, and %d mails", got, len(r.boxes[1].find(1).mails))
	}
}

func TestConnectionsAreBoundedByPersonAndWithoutALogInByAddress(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxPerPerson, o.MaxWaitingPerAddress = 2, 3 })
	r.rawIn(t, "anna@stadt.example")
	second := r.rawIn(t, "anna@stadt.example")
	r.raw(t).do("LOGIN anna@stadt.example geheim", "NO [LIMIT]")
	second.do("LOGOUT", "OK")
	second.ended()
	r.rawIn(t, "anna@stadt.example")
	r.raw(t)
	r.raw(t)
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		conn.Close()
		t.Error("a fourth connection without a log-in was taken, want three")
	}
}

func TestShutdownSaysByeAndWaitsForRunningCommands(t *testing.T) {
	r := start(t, nil)
	idle, quiet := r.rawIn(t, "anna@stadt.example"), r.rawIn(t, "bert@stadt.example")
	idle.send("a IDLE\r\n")
	idle.want("+")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*raw{"idle": idle, "quiet": quiet} {
		if got := c.ended(); !strings.Contains(got, "* BYE") {
			t.Errorf("%s: ended with %q", name, got)
		}
	}
	// The clean-up of the rig shuts down again.
	var err error
	if r.server, err = NewServer(r.server.opts); err != nil {
		t.Fatal(err)
	}
}

// hostileMails are mails that cost who reads them carelessly.
func hostileMails() map[string]string {
	deep := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	var nested strings.Builder
	for range 5000 {
		nested.WriteString("--b\r\n" + deep)
	}
	var parts strings.Builder
	parts.WriteString(deep)
	for range 10000 {
		parts.WriteString("--b\r\n\r\nx\r\n")
	}
	return map[string]string{
		"deep":       deep + nested.String(),
		"many parts": parts.String() + "--b--\r\n",
		"messages":   strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 5000) + "x",
		"no header":  "\r\nx",
		"only head":  "Subject: x",
		"empty":      "",
		"addresses":  "To: " + strings.Repeat("a@b.example,", 20000) + "\r\n\r\nx",
		"groups":     "To: " + strings.Repeat("g:(((\"<", 20000) + "\r\n\r\nx",
		"params":     "Content-Type: text/plain" + strings.Repeat("; a=\"b", 20000) + "\r\n\r\nx",
		"nul":        "Subject: a\x00b\r\nFrom: \"\x00\" <a@b>\r\nContent-Type: text/\x00\r\n\r\n\x00",
		"bytes":      "Subject: \xff\xfe\r\nContent-Type: text/plain; name=\"\xff\"\r\nContent-Description: \xe4\r\n\r\n\xff",
		"base64":     "Content-Transfer-Encoding: base64\r\n\r\n====A",
		"rfc822 b64": "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA",
		"big header": "X: " + strings.Repeat("y\r\n ", 300000) + "\r\n\r\nx",
		"self":       "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\n----\r\n",
		"rows":       strings.Repeat("A: b\r\n", 100000) + "\r\nx",
	}
}

func TestHostileMailsAreFetchedAndSearchedWithBoundedMemory(t *testing.T) {
	r := start(t, nil)
	for name, text := range hostileMails() {
		r.put(t, 1, 1, 0, text)
		c := r.rawIn(t, "anna@stadt.example")
		c.do("SELECT INBOX", "OK")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, command := range []string{
			"FETCH * (ENVELOPE BODYSTRUCTURE BODY)", "FETCH * (BODY.PEEK[1.1.1.1] BODY.PEEK[1.MIME] BODY.PEEK[HEADER.FIELDS (To)] BODY.PEEK[1.HEADER] BODY.PEEK[99])",
			"FETCH * (BINARY.PEEK[1] BINARY.SIZE[1])", "SEARCH TEXT zz SUBJECT a SENTSINCE 1-Jan-2020", "FETCH * BODY.PEEK[]<5.10>",
		} {
			c.do(command, "OK")
		}
		runtime.ReadMemStats(&after)
		if used, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<20)+40*uint64(len(text)); used > most {
			t.Errorf("%s (%d bytes): %d MB were allocated, want at most %d", name, len(text), used>>20, most>>20)
		}
	}
}

func FuzzGate(f *testing.F) {
	for _, s := range []string{"a NOOP\r\n", "a ID NIL\r\n", "a APPEND INBOX {3}\r\nabc\r\n", "a SEARCH TEXT {3+}\r\nabc {2+}\r\n", "a IDLE\r\nDONE\r\n", "a AUTHENTICATE PLAIN\r\n=\r\n", "a LOGIN {1}\r\n"} {
		f.Add([]byte(s))
	}
	r := start(f, func(o *Options) { o.MaxWaiting, o.MaxWaitingPerAddress, o.MaxPerPerson = 10000, 10000, 10000 })
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := r.rawIn(t, "anna@stadt.example")
		c.conn.Write(sent)
		c.conn.Write([]byte("\r\n")) // ends a line
		c.conn.(*tls.Conn).CloseWrite()
		c.ended()
	})
}

func FuzzParts(f *testing.F) {
	for _, text := range hostileMails() {
		if len(text) < 10000 {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, mail []byte) {
		p := parse(mail)
		bs := p.structure()
		if bs == nil {
			t.Fatal("no structure")
		}
		envelope(p.header)
		if !bytes.HasPrefix(mail, p.header) {
			t.Fatal("the header is not the beginning of the mail")
		}
		p.binary([]int{1})
		p.at([]int{1, 1, 2})
	})
}
