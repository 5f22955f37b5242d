package sink

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// data answers DATA and takes the mail.
func (s *session) data() bool {
	if !s.open || len(s.to) == 0 {
		return s.say("503 5.5.1 No valid recipients\r\n") // lawful with PIPELINING
	}
	early := s.r.Buffered()
	code, ok := s.answer("data", "", "354 Go ahead\r\n")
	if !ok || code != 354 {
		return ok
	}
	if s.w.Flush() != nil {
		return false
	}
	seen := Smuggling{Early: int64(early)}
	if !s.read(&seen) {
		seen.OpenAtClose++
		s.sink.book.smuggled(seen)
		return false
	}
	if len(s.buf) == 0 {
		seen.EmptyMails++
	}
	s.mails++
	if int64(len(s.buf)) > s.sink.opts.MaxSize {
		s.forget()
		s.sink.book.smuggled(seen)
		s.sink.book.refuse("dot")
		return s.say("552 5.3.4 Too large\r\n")
	}
	return s.dot(seen)
}

// read reads the mail into s.buf with its dots unstuffed, up to CRLF . CRLF.
func (s *session) read(seen *Smuggling) bool {
	s.buf = s.buf[:0]
	body := s.sink.play.Load().next(occasion{phase: "body", sender: s.sender, now: s.sink.opts.Clock()})
	declared := strings.Contains(strings.ToUpper(s.parameters), "8BITMIME")
	var (
		came   int         // octets, as sent
		length int         // of the line so far
		last   = byte('x') // the octet before part
		lineOK = true      // the line before ended in CRLF
		high   bool        // an octet above 127 came
	)
	for {
		if body != nil && came >= body.After {
			if _, ok := s.perform(body, "body", ""); !ok || s.w.Flush() != nil {
				return false
			}
			body = nil
		}
		part, err := s.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return false
		}
		came += len(part)
		start := length == 0
		length += len(part)
		if start && lineOK && string(part) == ".\r\n" {
			break
		}
		high = high || has8(part)
		lineOK, last = inspect(part, last, lineOK, seen)
		if start && part[0] == '.' {
			// RFC 5321, section 4.5.2: a lone dot in front is removed. A client that
			// stuffs dots has put two there.
			if len(part) < 2 || part[1] != '.' {
				seen.Dot++
			}
			part = part[1:]
		}
		if int64(len(s.buf)) <= s.sink.opts.MaxSize {
			s.buf = append(s.buf, part...)
		}
		if err != nil { // the line goes on
			continue
		}
		if length > 1000 { // RFC 5321, section 4.5.3.1.6
			seen.LongLines++
		}
		length = 0
	}
	if high && !declared {
		seen.EightBit++
	}
	return true
}

// inspect counts what must not be inside a line. part is a line, or as much of a long
// one as fits the buffer; last is the octet before it. It returns whether the last line
// that ended did so in CRLF, and the last octet of part.
func inspect(part []byte, last byte, lineOK bool, seen *Smuggling) (bool, byte) {
	seen.NUL += int64(bytes.Count(part, []byte{0}))
	n := len(part)
	crs := bytes.Count(part, []byte("\r"))
	if last == '\r' && part[0] != '\n' {
		crs++ // the one that was left over from the part before
	}
	if part[n-1] == '\n' {
		if n > 1 {
			last = part[n-2]
		}
		if lineOK = last == '\r'; !lineOK {
			seen.BareLF++
		} else if n > 1 {
			crs--
		}
	} else if part[n-1] == '\r' {
		crs-- // its LF may come with the next part
	}
	seen.BareCR += int64(crs)
	return lineOK, part[n-1]
}

// has8 reports whether p holds an octet above 127.
func has8(p []byte) bool {
	for _, b := range p {
		if b > 127 {
			return true
		}
	}
	return false
}

// dot settles what becomes of the mail, records it, and only then answers.
func (s *session) dot(seen Smuggling) bool {
	p, now := s.sink.play.Load(), s.sink.opts.Clock()
	number := s.sink.numbers.Add(1)
	all := make([]string, len(s.to))
	for i := range s.to {
		all[i] = s.to[i].Address
	}
	groups := [][]string{all} // SMTP: one answer for all
	if s.lmtp {
		groups = groups[:0]
		for i := range all {
			groups = append(groups, all[i:i+1])
		}
	}
	rules := make([]*rule, 0, len(groups))
	done := 0
	for _, group := range groups {
		r := p.next(occasion{phase: "dot", sender: s.sender, recipients: group, now: now})
		rules = append(rules, r)
		taken, lost, last := r.effect()
		for range group {
			s.to[done].Taken, s.to[done].Lost = taken, lost
			done++
		}
		if last {
			break
		}
	}
	s.record(Message{
		Number: number, At: now, Helo: s.helo, LMTP: s.lmtp, TLS: s.tls,
		Sender: s.sender, Parameters: s.parameters, Recipients: s.to, Size: int64(len(s.buf)),
	}, seen)
	for i, r := range rules {
		normal := fmt.Sprintf("250 2.0.0 Ok: queued as %d\r\n", number)
		if s.lmtp {
			normal = fmt.Sprintf("250 2.1.5 <%s> Ok: queued as %d.%d\r\n", all[i], number, i)
		}
		if _, ok := s.perform(r, "dot", normal); !ok {
			return false
		}
	}
	s.forget()
	return true
}

// effect says what a rule for the dot makes of the mail: whether it counts as taken, is
// lost behind a 250, and whether no answers follow.
func (r *rule) effect() (taken, lost, last bool) {
	if r == nil {
		return true, false, false
	}
	switch r.Action {
	case "hang", "reset":
		return r.Keep, false, true
	case "drop":
		return r.Keep || r.wire != "" && r.wire[0] == '2', false, true
	case "garbage":
		return r.Keep, false, false
	case "lose":
		return false, true, false
	}
	return r.Keep || r.wire == "" || r.wire[0] == '2', false, false
}

// record writes a mail into the book, and into files if that is wanted.
func (s *session) record(m Message, seen Smuggling) {
	if s.sink.opts.Keep != Counts {
		sum := sha256.Sum256(s.buf)
		m.Sum = hex.EncodeToString(sum[:])
		m.MessageID, m.ReceivedID = ids(s.buf)
		if s.sink.opts.Keep == Everything {
			m.Data, s.buf = s.buf[:len(s.buf):len(s.buf)], nil
		}
	}
	if s.sink.opts.Dir != "" {
		s.sink.save(m, s.buf)
	}
	s.sink.book.take(m, seen)
}

// ids returns the Message-ID and the id of the topmost Received field: RFC 5322,
// sections 3.6.4 and 3.6.7.
func ids(mail []byte) (messageID, receivedID string) {
	for len(mail) > 0 && !bytes.HasPrefix(mail, []byte("\r\n")) {
		end := bytes.IndexByte(mail, '\n') + 1
		for end > 0 && end < len(mail) && (mail[end] == ' ' || mail[end] == '\t') { // folded
			next := bytes.IndexByte(mail[end:], '\n') + 1
			if next == 0 {
				end = len(mail)
				break
			}
			end += next
		}
		if end == 0 {
			end = len(mail)
		}
		field := mail[:end]
		mail = mail[end:]
		if f := field[0] | 0x20; f != 'm' && f != 'r' {
			continue
		}
		name, value, _ := strings.Cut(string(field), ":")
		switch {
		case messageID == "" && strings.EqualFold(name, "Message-ID"):
			messageID = strings.TrimSpace(value)
		case receivedID == "" && strings.EqualFold(name, "Received"):
			receivedID = receivedIDOf(value)
		}
	}
	return messageID, receivedID
}

// receivedIDOf returns what follows the word "id" in a Received field.
func receivedIDOf(value string) string {
	words := strings.Fields(value)
	for i := range len(words) - 1 {
		if strings.EqualFold(words[i], "id") {
			return strings.TrimSuffix(words[i+1], ";")
		}
	}
	return ""
}
