package mailauth

import (
	"strings"
	"testing"

	"doppelboden/intake"
	"doppelboden/test/peer"

	"github.com/emersion/go-msgauth/dkim"
)

// BenchmarkCheck measures what all checks of a mail of 4 KB cost when the answers of the
// DNS are in memory, as those of frequent senders are.
func BenchmarkCheck(b *testing.B) {
	mail := []byte("From: Jürgen <j@sender.example>\r\nTo: a@stadt.example\r\nSubject: Grüße\r\nDate: Mon, 05 Jan 2026 08:00:00 +0000\r\n" +
		"Message-ID: <1@sender.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
		strings.Repeat("Sehr geehrte Damen und Herren, für die Prüfung wäre Öffnung nötig.\r\n", 55))
	rsa, ed := rsaSigner(b, 2048), edSigner(b)
	for _, bm := range []struct {
		name string
		s    signer
		mail []byte
	}{
		{"unsigned", rsa, mail},
		{"rsa2048", rsa, rsa.sign(b, "sender.example", dkim.CanonicalizationRelaxed, mail)},
		{"ed25519", ed, ed.sign(b, "sender.example", dkim.CanonicalizationRelaxed, mail)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			server := peer.For(b, peer.DNS{Zone: senderZone(bm.s)})
			c := newChecker(b, server.Addr(), Mark)
			in := incoming(b, "192.0.2.1", "mail.sender.example", "j@sender.example", bm.mail)
			b.ReportAllocs()
			for b.Loop() {
				if found, err := c.Check(b.Context(), in); err != nil || !found.Confirmed {
					b.Fatal(err)
				}
			}
		})
		if bm.name != "unsigned" {
			b.Run(bm.name+"/dkim", func(b *testing.B) { benchmarkDKIM(b, bm.s, bm.mail) })
		}
	}
}

func benchmarkDKIM(b *testing.B, s signer, mail []byte) {
	server := peer.For(b, peer.DNS{Zone: senderZone(s)})
	c := newChecker(b, server.Addr(), Mark)
	var in *intake.Incoming = incoming(b, "192.0.2.1", "mail.sender.example", "j@sender.example", mail)
	b.ReportAllocs()
	for b.Loop() {
		if found := c.dkim(b.Context(), in, fields(in.Header)); found[0].result.Value != Pass {
			b.Fatal(found[0].result)
		}
	}
}
