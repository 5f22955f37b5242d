package scan

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/test/peer"
)

// attached returns a mail with a file.
func attached(name string, file []byte) string {
	var b strings.Builder
	b.WriteString("From: a@fremd.example\r\nTo: anna@stadt.example\r\nSubject: file\r\nMIME-Version: 1.0\r\n" +
		"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <2@fremd.example>\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n" +
		"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=" + name + "\r\n\r\n")
	text := base64.StdEncoding.EncodeToString(file)
	for len(text) > 0 {
		n := min(76, len(text))
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	b.WriteString("--b--\r\n")
	return b.String()
}

// real starts both scanners with small limits.
func real(t *testing.T) (*peer.RspamdServer, *peer.ClamAVServer) {
	t.Helper()
	peer.Need(t, peer.RspamdProgram, peer.ClamdProgram)
	return peer.For(t, peer.Rspamd{MaxMessage: 2 << 20}), peer.For(t, peer.ClamAV{StreamMax: 2 << 20})
}

func TestRealScanners(t *testing.T) {
	rspamd, clamav := real(t)
	both := Plan{Rspamd: []string{rspamd.URL()}, ClamAV: []string{"unix://" + clamav.Socket()}}
	overTCP := Plan{ClamAV: []string{clamav.URL()}}
	eicar := attached("eicar.com", []byte(peer.Eicar()))
	for _, c := range []struct {
		name  string
		plan  Plan
		text  string
		state doppelboden.ScanState
		says  []string // what the marks hold
	}{
		{"a plain mail", both, plainMail, doppelboden.Clean, []string{"X-Spam-Status: No, score=", "X-Virus-Scanned: ClamAV at mx.stadt.example\r\n"}},
		{"GTUBE", both, strings.Replace(plainMail, "\r\n\r\nhello", "\r\n\r\n"+peer.Gtube, 1), doppelboden.Spam, []string{"X-Spam-Flag: YES\r\n", "tests=[GTUBE]"}},
		{"a subject that rspamd marks", both, strings.Replace(plainMail, "Subject: hello", "Subject: "+peer.SpamSubject, 1), doppelboden.Spam, []string{"X-Spam-Status: Yes, score=7.50", "SUBJECT_WERBUNG"}},
		{"EICAR", both, eicar, doppelboden.Malware, []string{"found Eicar-Test"}},
		{"EICAR over TCP", overTCP, eicar, doppelboden.Malware, nil},
		{"a plain mail over TCP", overTCP, plainMail, doppelboden.Clean, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newStation(t, c.plan)
			r := s.Scan(t.Context(), s.Plan(tenant), mailText(c.text), false)
			if r.State != c.state {
				t.Fatalf("%v (%s), want %v", r.State, r.Trouble, c.state)
			}
			said := string(marks("mx.stadt.example", s.Plan(tenant), r))
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("marks\n%s\nwant %q in them", said, want)
				}
			}
		})
	}
	t.Run("a mail that is too large is unscanned and not clean", func(t *testing.T) {
		large := plainMail + strings.Repeat("0123456789abcdef\r\n", 3<<20/18)
		for _, p := range []Plan{{ClamAV: both.ClamAV}, overTCP, {Rspamd: both.Rspamd}} {
			s, _ := newStation(t, p)
			for range 2 * breakAfter {
				r := s.Scan(t.Context(), s.Plan(tenant), mailText(large), false)
				if r.State != doppelboden.Unscanned || !r.Alone || !strings.Contains(r.Trouble, "too large") {
					t.Errorf("plan %+v: %v (%s), alone %v; want unscanned, too large", p, r.State, r.Trouble, r.Alone)
				}
			}
			if st := s.Status()[0]; !st.Up || st.TooLarge != int64(len(large)) {
				t.Errorf("after mails that were too large: %+v, want it up and the size remembered", st)
			}
		}
	})
	t.Run("bombs", func(t *testing.T) { bombs(t, both) })
}

// bombs are mails that want to fill the memory of who reads them.
func bombs(t *testing.T, p Plan) {
	var zipped bytes.Buffer
	w := zip.NewWriter(&zipped)
	f, err := w.Create("zeros")
	if err == nil {
		_, err = io.Copy(f, io.LimitReader(zeros{}, 500<<20))
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	var nested strings.Builder
	for range 10_000 {
		nested.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n")
	}
	header := "From: a@fremd.example\r\nMIME-Version: 1.0\r\n"
	for name, text := range map[string]string{
		"half a gigabyte of zeros in a zip": attached("zeros.zip", zipped.Bytes()),
		"ten thousand parts in each other":  header + nested.String(),
		"a hundred thousand parts":          header + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 100_000),
		"a header of a megabyte":            header + "X: " + strings.Repeat("a", 1<<20) + "\r\n\r\n",
		"a thousand messages in each other": header + strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 1000),
	} {
		p.Deadline = 3 * time.Second
		s, _ := newStation(t, p)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		r := s.Scan(t.Context(), s.Plan(tenant), mailText(text), false)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		t.Logf("%s (%d bytes): %v after %v %s", name, len(text), r.State, took.Round(time.Millisecond), r.Trouble)
		if took > 10*p.Deadline { // what is over the deadline is the machine's
			t.Errorf("%s: took %v, deadline %v", name, took, p.Deadline)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s: we allocated %d bytes", name, used)
		}
	}
	p.Deadline = time.Minute // rspamd goes on with what we gave up
	s, _ := newStation(t, p)
	if r := s.Scan(t.Context(), s.Plan(tenant), mailText(plainMail), false); r.State != doppelboden.Clean {
		t.Errorf("a plain mail after all bombs: %v (%s), want clean", r.State, r.Trouble)
	}
}

func TestARealScannerIsFoundAgainAfterItsReturn(t *testing.T) {
	peer.Need(t, peer.ClamdProgram)
	clamav := peer.For(t, peer.ClamAV{})
	s, back := newStation(t, Plan{ClamAV: []string{clamav.URL()}})
	if err := clamav.Stop(); err != nil {
		t.Fatal(err)
	}
	for range breakAfter {
		if r := s.Scan(t.Context(), s.Plan(tenant), mailText(plainMail), false); r.State != doppelboden.Unscanned {
			t.Fatalf("without ClamAV: %v, want unscanned", r.State)
		}
	}
	go s.Run(t.Context())
	peer.For(t, peer.ClamAV{Addr: clamav.Addr()})
	select {
	case <-back:
	case <-time.After(time.Minute):
		t.Fatal("ClamAV was not found again")
	}
	if r := s.Scan(t.Context(), s.Plan(tenant), mailText(attached("e.com", []byte(peer.Eicar()))), false); r.State != doppelboden.Malware {
		t.Errorf("EICAR after its return: %v (%s), want malware", r.State, r.Trouble)
	}
}
