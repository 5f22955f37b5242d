package load

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"mime"
	"mime/quotedprintable"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"
)

const (
	// median and sigma make a lognormal distribution with a median of 20 KB and, with
	// the big ones, a mean of about 90 KB: what city mail servers see.
	median = 20_000
	sigma  = 1.68
	// bigEvery says that one mail in so many is a scan or a plan of 20 to 48 MB. The
	// limit that the node announces is 50 MB.
	bigEvery         = 3000
	bigFrom, bigUpTo = 20_000_000, 48_000_000
	smallest         = 600
)

// A Corpus is a source of mails as a city gets them: sizes, several recipients,
// umlauts in every form, half of the mails DKIM-signed.
type Corpus struct {
	seed uint64
	opts CorpusOptions
	key  ed25519.PrivateKey
	pool []byte // base64 lines that attachments are cut from
	date time.Time
}

// CorpusOptions says whom a corpus writes to.
type CorpusOptions struct {
	Seed       uint64   // the same seed makes the same mails
	Recipients []string // the mailboxes of the city, at least one
	Largest    int      // no mail is larger, in octets; 0: 48 MB
	NoUTF8     bool     // leave out what needs SMTPUTF8
}

// NewCorpus returns a corpus.
func NewCorpus(o CorpusOptions) *Corpus {
	if o.Largest == 0 {
		o.Largest = bigUpTo
	}
	c := &Corpus{seed: o.Seed, opts: o, date: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)}
	sum := sha256.Sum256([]byte("doppelboden load " + strconv.FormatUint(o.Seed, 10)))
	c.key = ed25519.NewKeyFromSeed(sum[:])
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	raw := make([]byte, 57) // RFC 2045, section 6.8: 76 characters a line
	for len(c.pool) < 1<<20 {
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		c.pool = base64.StdEncoding.AppendEncode(c.pool, raw)
		c.pool = append(c.pool, "\r\n"...)
	}
	return c
}

// LookupTXT answers the one question that DKIM asks: for the key of this corpus.
func (c *Corpus) LookupTXT(domain string) ([]string, error) {
	if !strings.HasPrefix(domain, "load._domainkey.") {
		return nil, fmt.Errorf("no TXT record for %s", domain)
	}
	public := c.key.Public().(ed25519.PublicKey)
	return []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}, nil
}

// A letter is what one mail is made of.
type letter struct {
	from    string // address
	name    string // of the sender, with umlauts
	to      []string
	subject string
	size    int
	utf8    bool // header in UTF-8 instead of encoded words
}

// Mail returns the n-th mail.
func (c *Corpus) Mail(n int) *Mail {
	rng := rand.New(rand.NewPCG(c.seed, uint64(n)+2))
	l := c.letter(rng)
	content := c.write(rng, n, l)
	if n%2 == 0 {
		content = c.sign(content, l.from)
	}
	return NewMail(fmt.Sprintf("%d-%d", c.seed, n), l.from, l.to, content)
}

// letter draws who writes to whom, and how much.
func (c *Corpus) letter(rng *rand.Rand) letter {
	l := letter{
		name:    pick(rng, "Jürgen Groß", "Ayşe Öztürk", "Zoë Müller", "Karl Schmidt", "Bürgerbüro Süd"),
		subject: pick(rng, "Antrag auf Führungszeugnis", "Rückfrage zur Gewerbesteuer", "Termin am Montag", "Grüße aus der Schule – Elternbrief", "Re: Baugenehmigung Hauptstraße 5", "Invoice 4711"),
	}
	l.from = fmt.Sprintf("absender%d@fremd%d.example", rng.IntN(10_000), rng.IntN(500))
	if !c.opts.NoUTF8 && rng.IntN(20) == 0 {
		l.utf8 = true
		l.from = fmt.Sprintf("jürgen%d@bürger.example", rng.IntN(100))
	}
	// Four in five mails have one recipient; a few go to a whole department.
	count := 1
	switch d := rng.IntN(100); {
	case d >= 98:
		count = 10 + rng.IntN(15)
	case d >= 80:
		count = 2 + rng.IntN(3)
	}
	at := rng.IntN(len(c.opts.Recipients))
	for i := range min(count, len(c.opts.Recipients)) {
		l.to = append(l.to, c.opts.Recipients[(at+i)%len(c.opts.Recipients)])
	}
	l.size = int(median * math.Exp(sigma*rng.NormFloat64()))
	if rng.IntN(bigEvery) == 0 {
		l.size = bigFrom + rng.IntN(bigUpTo-bigFrom)
	}
	l.size = min(max(l.size, smallest), c.opts.Largest-smallest)
	return l
}

// write makes header and body. Small mails are one text in one of the three encodings
// that umlauts come in; larger ones have an attachment.
func (c *Corpus) write(rng *rand.Rand, n int, l letter) []byte {
	var b bytes.Buffer
	b.Grow(l.size + 2000)
	name, subject := mime.QEncoding.Encode("utf-8", l.name), mime.BEncoding.Encode("utf-8", l.subject)
	if l.utf8 {
		name, subject = l.name, l.subject
	}
	fmt.Fprintf(&b, "From: %s <%s>\r\nTo: <%s>\r\nSubject: %s\r\n", name, l.from, strings.Join(l.to, ">,\r\n <"), subject)
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <%d.%d@fremd.example>\r\nMIME-Version: 1.0\r\n",
		c.date.Add(time.Duration(n)*time.Second).Format(time.RFC1123Z), c.seed, n)
	if l.size < 8000 {
		writeText(&b, rng, l.size-b.Len())
		return b.Bytes()
	}
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=\"grenze-%d\"\r\n\r\n--grenze-%d\r\n", n, n)
	writeText(&b, rng, 2000)
	fmt.Fprintf(&b, "\r\n--grenze-%d\r\nContent-Type: application/pdf; name*=utf-8''Pl%%C3%%A4ne.pdf\r\n"+
		"Content-Transfer-Encoding: base64\r\n\r\n", n)
	at := rng.IntN(len(c.pool)/78) * 78
	for left := (l.size - b.Len()) / 78 * 78; left > 0; at = 0 {
		part := c.pool[at:min(len(c.pool), at+left)]
		b.Write(part)
		left -= len(part)
	}
	fmt.Fprintf(&b, "\r\n--grenze-%d--\r\n", n)
	return b.Bytes()
}

// writeText writes the header of a text and about size octets of it.
func writeText(b *bytes.Buffer, rng *rand.Rand, size int) {
	const line = "Sehr geehrte Damen und Herren, für die Prüfung der Straßenschäden wäre Öffnung nötig.\r\n"
	text := strings.Repeat(line, max(1, size/len(line)))
	// RFC 5321, section 4.5.2: a line of one dot, and lines that begin with dots.
	text += ".\r\n..\r\n.Grüße\r\n"
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: ")
	switch rng.IntN(3) {
	case 0:
		b.WriteString("8bit\r\n\r\n" + text)
	case 1:
		b.WriteString("quoted-printable\r\n\r\n")
		w := quotedprintable.NewWriter(b)
		w.Write([]byte(text)) // neither can fail: b is memory
		w.Close()
	default:
		b.WriteString("base64\r\n\r\n")
		coded := base64.StdEncoding.EncodeToString([]byte(text))
		for len(coded) > 76 {
			b.WriteString(coded[:76] + "\r\n")
			coded = coded[76:]
		}
		b.WriteString(coded + "\r\n")
	}
}

// sign puts a DKIM signature (RFC 6376, RFC 8463) above content.
func (c *Corpus) sign(content []byte, from string) []byte {
	_, domain, _ := strings.Cut(from, "@")
	var signed bytes.Buffer
	signed.Grow(len(content) + 600)
	err := dkim.Sign(&signed, bytes.NewReader(content), &dkim.SignOptions{
		Domain: domain, Selector: "load", Signer: c.key, Hash: crypto.SHA256,
		HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID"},
	})
	if err != nil {
		panic(fmt.Sprintf("load: sign a mail of ours: %v", err)) // our own mails are well-formed
	}
	return signed.Bytes()
}

func pick(rng *rand.Rand, of ...string) string { return of[rng.IntN(len(of))] }

func itoa(n int) string { return strconv.Itoa(n) }
