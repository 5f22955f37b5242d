package sink_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doppelboden/sink"
)

// TestMain fails the package's tests when one of them leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a sink with a script until the test ends.
func start(t testing.TB, o sink.Options, script string) *sink.Sink {
	t.Helper()
	var err error
	if o.Script, err = sink.Parse("test", []byte(script)); err != nil {
		t.Fatalf("script: %v", err)
	}
	s, err := sink.Start(o)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// talk connects, sends the text in one piece, and returns all that is answered until
// the sink closes the connection.
func talk(t *testing.T, s *sink.Sink, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	// A careful client waits for 354, because mail that comes before is counted as odd.
	head, mail, hasMail := strings.Cut(text, "DATA\r\n")
	if hasMail {
		head += "DATA\r\n"
	}
	var got strings.Builder
	io.WriteString(c, head)
	r := bufio.NewReader(c)
	for answers := 0; hasMail; {
		line, err := r.ReadString('\n')
		got.WriteString(line)
		if err != nil {
			break
		}
		if strings.HasPrefix(line[3:], " ") {
			answers++
		}
		if answers <= strings.Count(head, "\n") {
			continue
		}
		if !strings.HasPrefix(line, "354") {
			mail = "QUIT\r\n"
		}
		io.WriteString(c, mail)
		break
	}
	rest, _ := io.ReadAll(r)
	return got.String() + string(rest)
}

// codes returns the codes of the replies in a dialogue.
func codes(dialogue string) string {
	var list []string
	for _, line := range strings.Split(dialogue, "\r\n") {
		if len(line) >= 4 && line[3] == ' ' {
			list = append(list, line[:3])
		}
	}
	return strings.Join(list, " ")
}

const (
	hello    = "EHLO a\r\n"
	envelope = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"
)

func TestWhatIsTakenIsCountedAndKept(t *testing.T) {
	dir := t.TempDir()
	s := start(t, sink.Options{Dir: filepath.Join(dir, "mails"), StatsFile: filepath.Join(dir, "stats.json")}, "")
	mail := "Received: from a\r\n by b with ESMTP\r\n id 019aaaaa-0000;\r\n Mon\r\nReceived: by c id other; Mon\r\nMESSAGE-ID: <1@x>\r\n\r\n.x\r\n"
	wire := strings.ReplaceAll(mail, "\r\n.", "\r\n..")
	for range 2 {
		got := talk(t, s, hello+"MAIL FROM:<a@x.example> SIZE=3 BODY=8BITMIME\r\nRCPT TO:<B@y.example> NOTIFY=NEVER\r\nRCPT TO:<\"c>d\"@y.example>\r\nDATA\r\n"+wire+".\r\nQUIT\r\n")
		if c := codes(got); c != "220 250 250 250 250 354 250 221" {
			t.Errorf("codes %s in %q", c, got)
		}
	}
	sum := sha256.Sum256([]byte(mail))
	ms := s.Messages()
	if len(ms) != 2 {
		t.Fatalf("got %d mails, want 2", len(ms))
	}
	m := ms[0]
	if string(m.Data) != mail || m.Sum != hex.EncodeToString(sum[:]) || m.Size != int64(len(mail)) {
		t.Errorf("data %q, sum %s, size %d", m.Data, m.Sum, m.Size)
	}
	if m.Sender != "a@x.example" || m.Parameters != "SIZE=3 BODY=8BITMIME" || m.Helo != "a" || m.ReceivedID != "019aaaaa-0000" || m.MessageID != "<1@x>" {
		t.Errorf("envelope and ids: %+v", m)
	}
	if r := m.Recipients; len(r) != 2 || r[0] != (sink.Recipient{Address: "B@y.example", Parameters: "NOTIFY=NEVER", Taken: true}) || r[1].Address != "\"c>d\"@y.example" {
		t.Errorf("recipients: %+v", r)
	}
	st := s.Stats()
	if st.Messages != 2 || st.Deliveries != 4 || st.Duplicates != 2 || st.Connections != 2 || st.Bytes != 2*int64(len(mail)) ||
		st.ByRecipient["b@y.example"] != 2 || st.ByReceived["019aaaaa-0000"] != 2 || st.ByMessageID["<1@x>"] != 2 || st.Seen != (sink.Smuggling{}) {
		t.Errorf("counts: %+v", st)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	var onDisk sink.Stats
	text, err := os.ReadFile(filepath.Join(dir, "stats.json"))
	if err != nil || json.Unmarshal(text, &onDisk) != nil || onDisk.Messages != 2 || onDisk.Open != 0 {
		t.Errorf("counts on disk: %s, %v", text, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "mails", "00000002.eml")); err != nil || string(got) != mail {
		t.Errorf("mail on disk: %q, %v", got, err)
	}
	var about sink.Message
	text, err = os.ReadFile(filepath.Join(dir, "mails", "00000001.json"))
	if err != nil || json.Unmarshal(text, &about) != nil || about.Sum != m.Sum {
		t.Errorf("about the mail on disk: %s, %v", text, err)
	}
	if st.WriteErrors != 0 {
		t.Errorf("%d files could not be written", st.WriteErrors)
	}
	s.Reset()
	if st := s.Stats(); st.Messages != 0 || len(s.Messages()) != 0 || st.ByRecipient != nil {
		t.Errorf("after Reset: %+v", st)
	}
}

// TestWhatSmugglesIsSeen sends what a careful client never does.
func TestWhatSmugglesIsSeen(t *testing.T) {
	for _, c := range []struct {
		name string
		text string // after the envelope
		want sink.Smuggling
		data string // of the mail that was taken
	}{
		{"clean", "DATA\r\nx\r\n..\r\n.\r\n", sink.Smuggling{}, "x\r\n.\r\n"},
		{"LF.LF", "DATA\r\nx\n.\nMAIL\r\n.\r\n", sink.Smuggling{BareLF: 2, Dot: 1}, "x\n\nMAIL\r\n"},
		{"LF.CRLF", "DATA\r\nx\n.\r\nMAIL\r\n.\r\n", sink.Smuggling{BareLF: 1, Dot: 1}, "x\n\r\nMAIL\r\n"},
		{"CRLF.LF", "DATA\r\nx\r\n.\nMAIL\r\n.\r\n", sink.Smuggling{BareLF: 1, Dot: 1}, "x\r\n\nMAIL\r\n"},
		{"CRLF.CR", "DATA\r\nx\r\n.\rMAIL\r\n.\r\n", sink.Smuggling{BareCR: 1, Dot: 1}, "x\r\n\rMAIL\r\n"},
		{"CRCRLF.CRCRLF", "DATA\r\nx\r\r\n.\r\r\nMAIL\r\n.\r\n", sink.Smuggling{BareCR: 2, Dot: 1}, "x\r\r\n\r\r\nMAIL\r\n"},
		{"CR.CR", "DATA\r\nx\r.\rMAIL\r\n.\r\n", sink.Smuggling{BareCR: 2}, "x\r.\rMAIL\r\n"},
		{"unstuffed", "DATA\r\n.x\r\n.\r\n", sink.Smuggling{Dot: 1}, "x\r\n"},
		{"NUL", "DATA\r\nx\x00\r\n.\r\n", sink.Smuggling{NUL: 1}, "x\x00\r\n"},
		{"empty", "DATA\r\n.\r\n", sink.Smuggling{EmptyMails: 1}, ""},
		{"8-bit", "DATA\r\n\xff\r\n.\r\n", sink.Smuggling{EightBit: 1}, "\xff\r\n"},
		{"long", "DATA\r\n" + strings.Repeat("x", 1001) + "\r\n.\r\n", sink.Smuggling{LongLines: 1}, strings.Repeat("x", 1001) + "\r\n"},
		{"longer than the buffer", "DATA\r\n" + strings.Repeat("x", 64<<10-1) + "\r\nx\r\n.\r\n", sink.Smuggling{LongLines: 1}, strings.Repeat("x", 64<<10-1) + "\r\nx\r\n"},
		{"bare CR at the buffer's edge", "DATA\r\n" + strings.Repeat("x", 64<<10-1) + "\rx\r\n.\r\n", sink.Smuggling{LongLines: 1, BareCR: 1}, strings.Repeat("x", 64<<10-1) + "\rx\r\n"},
		{"cut off", "DATA\r\nx\r\n", sink.Smuggling{OpenAtClose: 1}, "-"},
		{"LF after a command", "NOOP\nDATA\r\nx\r\n.\r\n", sink.Smuggling{BareLF: 1}, "x\r\n"},
		{"CR in a command", "NOOP \rx\r\nDATA\r\nx\r\n.\r\n", sink.Smuggling{BareCR: 1}, "x\r\n"},
		{"unknown", "FOO\r\nDATA\r\nx\r\n.\r\n", sink.Smuggling{Unknown: 1}, "x\r\n"},
		{"nested", "MAIL FROM:<>\r\nDATA\r\nx\r\n.\r\n", sink.Smuggling{OutOfOrder: 1}, "x\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, sink.Options{}, "")
			if c.data == "-" {
				conn, err := net.Dial("tcp", s.Addr())
				if err != nil {
					t.Fatal(err)
				}
				// The end of the stream comes behind 354, so that nothing is early.
				io.WriteString(conn, hello+envelope+"DATA\r\n")
				waitFor(t, conn, "354")
				io.WriteString(conn, "x\r\n")
				conn.Close()
			} else {
				talk(t, s, hello+envelope+c.text+"QUIT\r\n")
			}
			wait(t, s, func(st sink.Stats) bool { return st.Connections == 1 && st.Open == 0 })
			if got := s.Stats().Seen; got != c.want {
				t.Errorf("seen: got %+v, want %+v", got, c.want)
			}
			ms := s.Messages()
			if c.data == "-" {
				if len(ms) != 0 {
					t.Errorf("got %d mails, want none", len(ms))
				}
			} else if len(ms) != 1 || string(ms[0].Data) != c.data {
				t.Errorf("got mails %+v, want one with %.80q", ms, c.data)
			}
		})
	}
}

// waitFor reads from c until a line begins with prefix.
func waitFor(t *testing.T, c net.Conn, prefix string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("wait for %s: %v", prefix, err)
		}
		if strings.HasPrefix(line, prefix) {
			return
		}
	}
}

// wait waits until ok says true of the counts.
func wait(t *testing.T, s *sink.Sink, ok func(sink.Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Wait(ctx, ok); err != nil {
		t.Fatalf("%v: %+v", err, s.Stats())
	}
}

func TestMailBehindDATAIsEarly(t *testing.T) {
	s := start(t, sink.Options{}, "")
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, hello+envelope+"DATA\r\nx\r\n.\r\nQUIT\r\n")
	io.Copy(io.Discard, c)
	if got := s.Stats().Seen; got.Early == 0 || got.Clean() {
		t.Errorf("seen: %+v, want octets that came too early", got)
	}
}

func TestTheScriptDecidesWhatIsAnsweredAndTaken(t *testing.T) {
	rule := func(lines string) string { return "[[rule]]\n" + lines }
	for _, c := range []struct {
		name, script, verb string
		codes              string
		taken              int64 // deliveries
		lost               int64
	}{
		{"all is well", "", "EHLO", "220 250 250 250 250 354 250 221", 2, 0},
		{"all is well, LMTP", "", "LHLO", "220 250 250 250 250 354 250 250 221", 2, 0},
		{"greeting", rule("phase = \"greeting\"\nreply = \"554 no\""), "EHLO", "554", 0, 0},
		{"connect", rule("phase = \"connect\"\naction = \"drop\""), "EHLO", "", 0, 0},
		{"EHLO only", rule("phase = \"helo\"\nverb = \"EHLO\"\nreply = \"502 no\""), "EHLO", "220 502 503 503 503 503 221", 0, 0},
		{"one recipient", rule("phase = \"rcpt\"\nrecipient = \"c@*\"\nreply = \"550 no\""), "EHLO", "220 250 250 250 550 354 250 221", 1, 0},
		{"sender", rule("phase = \"rcpt\"\nsender = \"a@x*\"\nreply = \"550 no\""), "EHLO", "220 250 250 550 550 503 221", 0, 0},
		{"data", rule("phase = \"data\"\nreply = \"450 no\""), "EHLO", "220 250 250 250 250 450 221", 0, 0},
		{"body", rule("phase = \"body\"\naction = \"drop\""), "EHLO", "220 250 250 250 250 354", 0, 0},
		{"dot", rule("phase = \"dot\"\nreply = \"450 no\""), "EHLO", "220 250 250 250 250 354 450 221", 0, 0},
		{"dot, LMTP", rule("phase = \"dot\"\nrecipient = \"c@*\"\nreply = \"450 no\""), "LHLO", "220 250 250 250 250 354 250 450 221", 1, 0},
		{"lost", rule("phase = \"dot\"\naction = \"lose\""), "EHLO", "220 250 250 250 250 354 250 221", 0, 2},
		{"lost, LMTP", rule("phase = \"dot\"\nrecipient = \"b@*\"\naction = \"lose\""), "LHLO", "220 250 250 250 250 354 250 250 221", 1, 1},
		{"taken and silent", rule("phase = \"dot\"\naction = \"drop\"\nkeep = true"), "EHLO", "220 250 250 250 250 354", 2, 0},
		{"not taken and silent", rule("phase = \"dot\"\naction = \"drop\""), "EHLO", "220 250 250 250 250 354", 0, 0},
		{"silent for the second, LMTP", rule("phase = \"dot\"\nrecipient = \"c@*\"\naction = \"drop\""), "LHLO", "220 250 250 250 250 354 250", 1, 0},
		{"taken and refused", rule("phase = \"dot\"\nreply = \"451 oops\"\nkeep = true"), "EHLO", "220 250 250 250 250 354 451 221", 2, 0},
		{"dripping", rule("phase = \"dot\"\naction = \"drip\"\npace = \"1us\""), "EHLO", "220 250 250 250 250 354 250 221", 2, 0},
		{"dead later", rule("phase = \"connect\"\naction = \"reset\"\nfrom = \"1h\""), "EHLO", "220 250 250 250 250 354 250 221", 2, 0},
		{"nothing but delay", rule("phase = \"mail\"\ndelay = \"1ms\""), "EHLO", "220 250 250 250 250 354 250 221", 2, 0},
		{"no mail any more", "per_connection = 1", "EHLO", "220 250 250 250 250 354 250 221", 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, sink.Options{}, c.script)
			got := talk(t, s, c.verb+" me\r\n"+envelope+"RCPT TO:<c@y.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
			if codes(got) != c.codes {
				t.Errorf("codes %s, want %s, in %q", codes(got), c.codes, got)
			}
			if st := s.Stats(); st.Deliveries != c.taken || st.Lost != c.lost {
				t.Errorf("took %d and lost %d, want %d and %d", st.Deliveries, st.Lost, c.taken, c.lost)
			}
		})
	}
}

func TestAHangEndsWithTheSink(t *testing.T) {
	for _, phase := range []string{"connect", "mail", "body", "dot"} {
		s := start(t, sink.Options{}, "[[rule]]\nphase = \""+phase+"\"\naction = \"hang\"")
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, hello+envelope+"DATA\r\nx\r\n.\r\n")
		wait(t, s, func(st sink.Stats) bool { return st.Played[phase+" hang"] == 1 || st.Open == 1 && phase == "connect" })
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", phase, err)
		}
		c.Close()
	}
}

func TestTheScriptCanBeChangedWhileConnectionsAreOpen(t *testing.T) {
	s := start(t, sink.Options{}, "")
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, hello)
	waitFor(t, c, "250 ")
	script, err := sink.Parse("test", []byte("[[rule]]\nphase = \"mail\"\nreply = \"452 full\""))
	if err != nil {
		t.Fatal(err)
	}
	s.SetScript(script)
	io.WriteString(c, "MAIL FROM:<>\r\n")
	waitFor(t, c, "452 full")
	s.SetScript(nil)
	io.WriteString(c, "MAIL FROM:<>\r\n")
	waitFor(t, c, "250 2.1.0")
	if st := s.Stats(); st.Refused["mail"] != 1 || st.Played["mail 452"] != 1 {
		t.Errorf("counts: %+v", st)
	}
}

func TestCountsKeepsNoMails(t *testing.T) {
	for keep, want := range map[sink.Keep]string{
		sink.Everything: "1 mails, data true, by recipient 1",
		sink.Envelopes:  "1 mails, data false, by recipient 1",
		sink.Counts:     "0 mails, data false, by recipient 0",
	} {
		s := start(t, sink.Options{Keep: keep}, "")
		talk(t, s, hello+envelope+"DATA\r\nx\r\n.\r\nQUIT\r\n")
		ms, st := s.Messages(), s.Stats()
		got := fmt.Sprintf("%d mails, data %v, by recipient %d", len(ms), len(ms) > 0 && ms[0].Data != nil, len(st.ByRecipient))
		if got != want || st.Messages != 1 {
			t.Errorf("keep %d: got %s and count %d, want %s", keep, got, st.Messages, want)
		}
	}
}

func TestTooLargeAMailIsRefusedAndReadToItsEnd(t *testing.T) {
	s := start(t, sink.Options{MaxSize: 1000}, "")
	big := strings.Repeat("0123456\r\n", 1000)
	got := talk(t, s, hello+envelope+"DATA\r\n"+big+".\r\n"+"NOOP\r\nQUIT\r\n")
	if c := codes(got); c != "220 250 250 250 354 552 250 221" {
		t.Errorf("codes %s", c)
	}
}

func TestAFolderOrAPortThatCannotBeUsedIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]sink.Options{"folder": {Dir: file}, "port": {Listen: "127.0.0.1:99999"}} {
		if s, err := sink.Start(o); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestASinkThatIsStartedAgainKeepsTheMailsOfItsFolder(t *testing.T) {
	dir := t.TempDir()
	for run := 1; run <= 3; run++ {
		s := start(t, sink.Options{Dir: dir}, "")
		talk(t, s, hello+envelope+"DATA\r\nSubject: "+strconv.Itoa(run)+"\r\n\r\nx\r\n.\r\nQUIT\r\n")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for run := 1; run <= 3; run++ {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%08d.eml", run)))
		if want := "Subject: " + strconv.Itoa(run); err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("mail %d: %q, %v; want it to begin with %q", run, text, err, want)
		}
	}
}
