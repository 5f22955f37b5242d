// Package letter makes the mails of the power-cut proof. A letter follows from its number
// alone: who sends the mail knows it, who takes it in the end can make it again and
// compare every byte, and nobody has to keep it meanwhile.
//
// It does no I/O.
package letter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// Domain is the city's, from RFC 2606, section 2.
const Domain = "stadt.example"

// Mailboxes is the number of mailboxes that letters go to.
const Mailboxes = 20

// Address returns the address of a mailbox, counted from 0.
func Address(mailbox int) string { return fmt.Sprintf("amt%02d@%s", mailbox, Domain) }

// Mailbox is the reverse of Address; ok is false for every other address.
func Mailbox(address string) (mailbox int, ok bool) {
	for i := range Mailboxes {
		if address == Address(i) {
			return i, true
		}
	}
	return 0, false
}

// A Letter is one mail.
type Letter struct {
	Number     int64
	Sender     string
	Recipients []int  // mailboxes, all different
	Data       []byte // what DATA carries, with CRLF and without dot-stuffing
}

// mark precedes the number in a line of the header.
const mark = "X-Powercut-Number: "

// Of returns the letter with this number.
func Of(number int64) Letter {
	random := source(number)
	l := Letter{
		Number:     number,
		Sender:     fmt.Sprintf("buerger%d@absender.example", number%1000),
		Recipients: recipients(random),
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\n", l.Sender, Address(l.Recipients[0]))
	fmt.Fprintf(&b, "Subject: Antrag %d\r\nDate: Mon, 06 Jan 2025 08:00:00 +0100\r\n", number)
	fmt.Fprintf(&b, "Message-ID: <%d@absender.example>\r\n%s%d\r\n\r\n", number, mark, number)
	writeText(&b, random, size(random))
	l.Data = b.Bytes()
	return l
}

// Recipients returns whom the letter with this number goes to, without making the rest.
func Recipients(number int64) []int { return recipients(source(number)) }

// source returns the random numbers that a letter is made of.
func source(number int64) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(number), 0x646f7070656c626f))
}

// recipients draws one mailbox, seldom two or three.
func recipients(random *rand.Rand) []int {
	n := 1
	if random.IntN(5) == 0 {
		n = 2 + random.IntN(2)
	}
	return random.Perm(Mailboxes)[:n]
}

// size draws how long the text is, in bytes: most are short, and one in two hundred is
// so big that it streams into a file of its own.
func size(random *rand.Rand) int {
	switch dice := random.IntN(200); {
	case dice == 0:
		return 300_000 + random.IntN(700_000)
	case dice < 8:
		return 60_000 + random.IntN(190_000)
	case dice < 50:
		return 8_000 + random.IntN(52_000)
	}
	return 500 + random.IntN(7_500)
}

// writeText writes lines of letters and digits, at least n bytes. Some begin with a dot,
// which SMTP has to double (RFC 5321, section 4.5.2).
func writeText(b *bytes.Buffer, random *rand.Rand, n int) {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	var line [74]byte
	for end := b.Len() + n; b.Len() < end; {
		for i := 0; i < 72; i += 8 {
			var eight [8]byte
			binary.LittleEndian.PutUint64(eight[:], random.Uint64())
			for j, c := range eight {
				line[i+j] = digits[c%64]
			}
		}
		if random.IntN(16) == 0 {
			line[0] = '.'
		}
		line[72], line[73] = '\r', '\n'
		b.Write(line[:])
	}
}

// Check tells which letter data is: it must end in exactly that letter's bytes, after
// what those who carried it have put before. A number of 0 says that none was found.
func Check(data []byte) (number int64, intact bool) {
	_, after, found := bytes.Cut(data, []byte("\r\n"+mark))
	text, _, ended := bytes.Cut(after, []byte("\r\n"))
	number, err := strconv.ParseInt(string(text), 10, 64)
	if !found || !ended || err != nil {
		return 0, false
	}
	return number, bytes.HasSuffix(data, Of(number).Data)
}
