package mailauth

import (
	"strings"
	"testing"

	"doppelboden/test/peer"

	"github.com/emersion/go-msgauth/dkim"
)

const bankZone = `
bank.example.         TXT "v=spf1 -all"
_dmarc.bank.example.  TXT "v=DMARC1; p=reject"
evil.example.         TXT "v=spf1 +all"
e1.example.           TXT "v=spf1 +all"
`

func TestNobodyWalksAroundARefusalByAFromThatCannotBeRead(t *testing.T) {
	server := peer.For(t, peer.DNS{Zone: bankZone})
	c := newChecker(t, server.Addr(), Refuse)
	long := strings.Repeat("X-Long: "+strings.Repeat("x", 900)+"\r\n", 400)
	for name, mail := range map[string]string{
		"plain forgery":           "From: Bank <ceo@bank.example>\r\nSubject: x\r\n\r\nhi\r\n",
		"second From unreadable":  "From: Bank <ceo@bank.example>\r\nFrom: <x>\r\nSubject: x\r\n\r\nhi\r\n",
		"unreadable entry in one": "From: Bank <ceo@bank.example>, <x>\r\nSubject: x\r\n\r\nhi\r\n",
		"address literal beside":  "From: Bank <ceo@bank.example>, <a@[192.0.2.1]>\r\nSubject: x\r\n\r\nhi\r\n",
		"five authors":            "From: Bank <ceo@bank.example>, a@a.example, a@b.example, a@c.example, a@d.example\r\nSubject: x\r\n\r\nhi\r\n",
		"From behind 256 KiB":     long + "From: Bank <ceo@bank.example>\r\nSubject: x\r\n\r\nhi\r\n",
		"unclosed comment behind": "From: Bank <ceo@bank.example> (\r\nSubject: x\r\n\r\nhi\r\n",
		"unclosed quote in name":  "From: \"Bank <ceo@bank.example>\r\nSubject: x\r\n\r\nhi\r\n",
		"route addr":              "From: Bank <@evil.example:ceo@bank.example>\r\nSubject: x\r\n\r\nhi\r\n",
		"trailing dot":            "From: Bank <ceo@bank.example.>\r\nSubject: x\r\n\r\nhi\r\n",
		"first line folded":       " x\r\nFrom: Bank <ceo@bank.example>\r\n\r\nhi\r\n",
		"nested angle":            "From: Bank <<ceo@bank.example>>\r\nSubject: x\r\n\r\nhi\r\n",
		"comment in addr":         "From: Bank <ceo(x)@bank.example>\r\nSubject: x\r\n\r\nhi\r\n",
		"space in angle":          "From: Bank <ceo @ bank.example>\r\nSubject: x\r\n\r\nhi\r\n",
		"no angle trailing":       "From: ceo@bank.example x@evil.example\r\nSubject: x\r\n\r\nhi\r\n",
		"local 65":                "From: Bank <" + strings.Repeat("a", 65) + "@bank.example>\r\nSubject: x\r\n\r\nhi\r\n",
		"encoded local":           "From: =?utf-8?q?Bank_=3Cceo=40bank=2Eexample=3E?=\r\nSubject: x\r\n\r\nhi\r\n",
		"latin1 local":            "From: Bank <c\xe9o@bank.example>\r\nSubject: x\r\n\r\nhi\r\n",
		"no From, Sender":         "Sender: Bank <ceo@bank.example>\r\nSubject: x\r\n\r\nhi\r\n",
	} {
		in := incoming(t, "203.0.113.9", "x.evil.example", "j@evil.example", []byte(mail))
		if len(in.Header) > 256<<10 {
			in.Header = in.Header[:256<<10]
		}
		found, err := c.Check(t.Context(), in)
		if err == nil && found.Hold == "" {
			t.Errorf("%s: goes to the inbox of a tenant with dmarc = refuse:\n%s", name, found.Prefix)
		}
	}
}

func TestASignedMailWithASecondFromAboveProvesNothing(t *testing.T) {
	key := edSigner(t)
	server := peer.For(t, peer.DNS{Zone: senderZone(key)})
	signed := string(key.sign(t, "sender.example", dkim.CanonicalizationRelaxed, []byte(letter)))
	mail := "From: The Mayor <mayor@sender.example>\r\nSubject: pay now\r\n" + signed
	in := incoming(t, "203.0.113.9", "x.evil.example", "j@evil.example", []byte(mail))
	found, err := newChecker(t, server.Addr(), Refuse).Check(t.Context(), in)
	if strings.Contains(string(found.Prefix), "=pass header") {
		t.Errorf("%v, held %q\n%s", err, found.Hold, found.Prefix)
	}
}

func TestWhatAHopSaysOfSPFCountsOnlyWhereWeCannotAsk(t *testing.T) {
	server := peer.For(t, peer.DNS{Zone: bankZone})
	in := incoming(t, "198.51.100.9", "x.evil.example", "victim@bank.example", []byte("From: ceo@bank.example\r\n\r\nhi\r\n"))
	in.Envelope.Trusted = []string{"gw; spf=pass smtp.mailfrom=victim@bank.example"}
	found, err := newChecker(t, server.Addr(), Mark).Check(t.Context(), in)
	if err != nil || found.Confirmed {
		t.Errorf("confirmed %v, %v, although SPF of the client that we know fails:\n%s", found.Confirmed, err, found.Prefix)
	}
}
