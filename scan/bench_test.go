package scan

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"doppelboden"
)

// BenchmarkScan measures what it costs to show a mail of 4 KB to an rspamd that answers
// at once and keeps its connections, and to a clamd that answers at once.
func BenchmarkScan(b *testing.B) {
	text := plainMail + strings.Repeat("0123456789abcdef\r\n", 4<<10/18)
	for kind, do := range map[string]func(*fakeConn){
		Rspamd: func(c *fakeConn) {
			r := bufio.NewReader(c)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(cleanAnswer), cleanAnswer)
			}
		},
		ClamAV: say(ClamAV, "stream: OK\x00"),
	} {
		b.Run(kind, func(b *testing.B) {
			server := newFake(b, do)
			s, _ := newStation(b, planOf(kind, server.url(kind)))
			p := s.Plan(tenant)
			b.ReportAllocs()
			for b.Loop() {
				if r := s.Scan(b.Context(), p, mailText(text), false); r.State != doppelboden.Clean {
					b.Fatalf("%v (%s), want clean", r.State, r.Trouble)
				}
			}
		})
	}
}
