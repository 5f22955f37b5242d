package letter

import (
	"strings"
	"testing"
)

// BenchmarkSummary reads a mail of 4 KB as it is read after acceptance.
func BenchmarkSummary(b *testing.B) {
	mail := "Received: from a (b [192.0.2.1]) by c with ESMTPS id x; Mon, 23 Nov 2026 09:12:00 +0100\r\nFrom: =?utf-8?q?J=C3=BCrgen?= <j@city.de>\r\n" +
		"To: a@city.de\r\nSubject: Bauantrag\r\nDate: Mon, 23 Nov 2026 09:12:00 +0100\r\nMessage-ID: <2@city.de>\r\n" +
		multi("alternative", "b", "Content-Type: text/plain; charset=utf-8\r\n\r\n"+strings.Repeat("Sehr geehrte Damen und Herren, anbei der Bauantrag.\r\n", 20),
			"Content-Type: text/html; charset=utf-8\r\n\r\n"+strings.Repeat("<p>Sehr geehrte Damen und Herren, anbei der <b>Bauantrag</b>.</p>\r\n", 40))
	b.SetBytes(int64(len(mail)))
	for b.Loop() {
		l := read(b, mail)
		if s := l.Summary(); s.Subject != "Bauantrag" || len(l.AllText()) < 1000 {
			b.Fatal("not read")
		}
	}
}
