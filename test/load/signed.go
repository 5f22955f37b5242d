package load

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// signedPool is how many different signed mails there are: enough that nobody can
// remember an answer, few enough to be made at once.
const signedPool = 64

// A Signed is a source of small mails of which every second carries a DKIM signature
// (RFC 6376) with an RSA key of 2,048 bits, as most mail does. Mail n goes to mailbox n
// modulo their number.
type Signed struct {
	prefix, from string
	to           []string
	zone         string
	plain        []byte
	signed       [][]byte
}

// NewSigned returns a source of mails with about size octets. prefix makes the ids of one
// run differ from another's.
func NewSigned(prefix, from string, to []string, size int) (*Signed, error) {
	_, domain, _ := strings.Cut(from, "@")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make a DKIM key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode a DKIM key: %w", err)
	}
	s := &Signed{prefix: prefix, from: from, to: to, plain: signable(from, "plain", size)}
	for i := range signedPool {
		var b bytes.Buffer
		err := dkim.Sign(&b, bytes.NewReader(signable(from, itoa(i), size)), &dkim.SignOptions{
			Domain: domain, Selector: "load", Signer: key, Hash: crypto.SHA256,
			HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID"},
		})
		if err != nil {
			return nil, fmt.Errorf("sign a mail: %w", err)
		}
		s.signed = append(s.signed, b.Bytes())
	}
	// RFC 1035, section 3.3.14: a string of a TXT record has at most 255 octets.
	p := base64.StdEncoding.EncodeToString(public)
	s.zone = fmt.Sprintf("load._domainkey.%[1]s. 3600 IN TXT \"v=DKIM1; k=rsa; p=%[2]s\" \"%[3]s\"\n"+
		"%[1]s. 3600 IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n"+
		"_dmarc.%[1]s. 3600 IN TXT \"v=DMARC1; p=reject\"\n"+
		"1.0.0.127.in-addr.arpa. 3600 IN PTR mail.%[1]s.\nmail.%[1]s. 3600 IN A 127.0.0.1\n",
		domain, p[:200], p[200:])
	return s, nil
}

// signable returns a mail of about size octets.
func signable(from, id string, size int) []byte {
	b := bytes.NewBufferString("From: <" + from + ">\r\nTo: undisclosed-recipients:;\r\nSubject: bench\r\n" +
		"Date: Mon, 5 Jan 2026 08:00:00 +0000\r\nMessage-ID: <" + id + "@load.example>\r\n\r\n")
	line := strings.Repeat("x", 70) + "\r\n"
	for b.Len() < size {
		b.WriteString(line)
	}
	return b.Bytes()
}

// Zone is what a name server must answer, so that the sender is who he says: SPF, the key
// of the signatures, DMARC and the name of 127.0.0.1.
func (s *Signed) Zone() string { return s.zone }

// Mail returns the n-th mail.
func (s *Signed) Mail(n int) *Mail {
	content := s.plain
	if n%2 == 0 {
		content = s.signed[n/2%signedPool]
	}
	return newMail(s.prefix+"-"+itoa(n), s.from, s.to[n%len(s.to):n%len(s.to)+1], content)
}
