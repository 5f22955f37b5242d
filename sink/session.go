package sink

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"time"
)

// A session is one connection.
type session struct {
	sink *Sink
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer

	lmtp  bool
	tls   bool
	helo  string // empty until EHLO, HELO or LHLO
	mails int    // how many this connection brought

	open       bool // MAIL was taken
	sender     string
	parameters string
	to         []Recipient

	buf []byte // the mail; used again unless it is kept
}

// newSession returns a session that has not said anything yet.
func newSession(s *Sink, conn net.Conn) *session {
	return &session{
		sink: s, conn: conn,
		r: bufio.NewReaderSize(conn, 64<<10), w: bufio.NewWriterSize(conn, 4<<10),
	}
}

// serve speaks with the client until either has enough.
func (s *session) serve() {
	s.sink.book.note(func(st *Stats) { st.Connections++; st.Open++ })
	defer s.sink.book.note(func(st *Stats) { st.Open-- })
	host := s.sink.play.Load().Host
	if host == "" {
		host = "sink.example"
	}
	if _, ok := s.answer("connect", "", ""); !ok {
		return
	}
	if code, ok := s.answer("greeting", "", "220 "+host+" ESMTP sink\r\n"); !ok || code >= 400 {
		s.w.Flush()
		return
	}
	for {
		line, ok := s.command()
		if !ok || !s.obey(line) {
			s.w.Flush()
			return
		}
	}
}

// command reads a command without its line end. What was answered is sent before
// anything is waited for.
func (s *session) command() (string, bool) {
	if b, _ := s.r.Peek(s.r.Buffered()); bytes.IndexByte(b, '\n') < 0 && s.w.Flush() != nil {
		return "", false
	}
	line, err := s.r.ReadSlice('\n')
	if err != nil { // gone, or 64 KB without an end
		return "", false
	}
	var seen Smuggling
	body, crlf := bytes.CutSuffix(line, []byte("\r\n"))
	if !crlf {
		seen.BareLF++
		body = bytes.TrimSuffix(line, []byte("\n"))
	}
	seen.BareCR += int64(bytes.Count(body, []byte("\r")))
	seen.NUL += int64(bytes.Count(body, []byte{0}))
	s.sink.book.smuggled(seen)
	return string(body), true
}

// obey does what a command says and reports whether the session goes on.
func (s *session) obey(line string) bool {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO", "HELO", "LHLO":
		return s.hello(verb, strings.TrimSpace(arg))
	case "STARTTLS":
		return s.startTLS()
	case "MAIL":
		return s.mail(arg)
	case "RCPT":
		return s.rcpt(arg)
	case "DATA":
		return s.data()
	case "RSET":
		s.forget()
		return s.say("250 2.0.0 Ok\r\n")
	case "NOOP":
		return s.say("250 2.0.0 Ok\r\n")
	case "QUIT":
		s.say("221 2.0.0 Bye\r\n")
		return false
	}
	s.sink.book.smuggled(Smuggling{Unknown: 1})
	return s.say("500 5.5.2 Unknown command\r\n")
}

// say sends words that no script changes.
func (s *session) say(text string) bool {
	_, err := s.w.WriteString(text)
	return err == nil
}

// wrong answers a command that does not belong where it is.
func (s *session) wrong(text string) bool {
	s.sink.book.smuggled(Smuggling{OutOfOrder: 1})
	return s.say(text)
}

// forget ends a transaction.
func (s *session) forget() {
	s.open, s.sender, s.parameters, s.to = false, "", "", nil
}

// hello answers EHLO, HELO and LHLO.
func (s *session) hello(verb, name string) bool {
	s.forget()
	p := s.sink.play.Load()
	host := p.Host
	if host == "" {
		host = "sink.example"
	}
	lines := append([]string{host}, p.Extensions...)
	switch {
	case verb == "HELO" || len(p.Extensions) == 1 && strings.EqualFold(p.Extensions[0], "none"):
		lines = lines[:1]
	case len(p.Extensions) == 0:
		lines = append(lines, "PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
		if s.sink.opts.TLS != nil && !s.tls {
			lines = append(lines, "STARTTLS")
		}
	}
	code, ok := s.answer("helo", verb, formatReply("250 "+strings.Join(lines, "\n")))
	if ok && code/100 == 2 {
		s.helo, s.lmtp = name, verb == "LHLO"
		if name == "" {
			s.helo = "?"
		}
	}
	return ok
}

// startTLS answers STARTTLS and does the handshake: RFC 3207.
func (s *session) startTLS() bool {
	if s.tls || s.sink.opts.TLS == nil && s.sink.play.Load().rules["starttls"] == nil {
		return s.wrong("503 5.5.1 No TLS here\r\n")
	}
	if n := s.r.Buffered(); n > 0 {
		s.sink.book.smuggled(Smuggling{Early: int64(n)})
	}
	code, ok := s.answer("starttls", "", "220 2.0.0 Go ahead\r\n")
	if !ok || code/100 != 2 || s.sink.opts.TLS == nil {
		return ok
	}
	if s.w.Flush() != nil {
		return false
	}
	tc := tls.Server(s.conn, s.sink.opts.TLS)
	if tc.Handshake() != nil {
		return false
	}
	s.conn, s.tls, s.helo = tc, true, ""
	s.r.Reset(tc)
	s.w.Reset(tc)
	s.forget()
	s.sink.book.note(func(st *Stats) { st.TLS++ })
	return true
}

// mail answers MAIL.
func (s *session) mail(arg string) bool {
	addr, params, ok := path(arg, "FROM:")
	switch {
	case !ok:
		s.sink.book.smuggled(Smuggling{Unknown: 1})
		return s.say("501 5.5.4 Syntax: MAIL FROM:<address>\r\n")
	case s.helo == "":
		return s.wrong("503 5.5.1 Say hello first\r\n")
	case s.open:
		return s.wrong("503 5.5.1 Nested MAIL\r\n")
	}
	if n := s.sink.play.Load().PerConnection; n > 0 && s.mails >= n {
		s.sink.book.refuse("mail")
		s.say("421 4.7.0 Max messages per connection reached\r\n")
		return false
	}
	s.sender = addr
	code, ok := s.answer("mail", "", "250 2.1.0 Ok\r\n")
	if ok && code/100 == 2 {
		s.open, s.parameters = true, params
	}
	return ok
}

// rcpt answers RCPT.
func (s *session) rcpt(arg string) bool {
	addr, params, ok := path(arg, "TO:")
	switch {
	case !ok || addr == "":
		s.sink.book.smuggled(Smuggling{Unknown: 1})
		return s.say("501 5.5.4 Syntax: RCPT TO:<address>\r\n")
	case !s.open:
		return s.say("503 5.5.1 Need MAIL first\r\n") // lawful behind a refused MAIL
	}
	code, ok := s.answer("rcpt", "", "250 2.1.5 Ok\r\n", addr)
	if ok && code/100 == 2 {
		s.to = append(s.to, Recipient{Address: addr, Parameters: params})
	}
	return ok
}

// path reads "FROM:<address> parameters": RFC 5321, section 4.1.2.
func path(arg, keyword string) (addr, params string, ok bool) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", "", false
	}
	arg, ok = strings.CutPrefix(arg[len(keyword):], "<")
	quoted := false
	for i := 0; ok && i < len(arg); i++ {
		switch c := arg[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			params = arg[i+1:]
			return arg[:i], strings.TrimPrefix(params, " "), params == "" || params[0] == ' '
		}
	}
	return "", "", false
}

// answer plays the phase: what the script says, or else normal. It returns the code
// that was sent, 0 for none, and whether the session goes on.
func (s *session) answer(phase, verb, normal string, recipients ...string) (code int, ok bool) {
	p := s.sink.play.Load()
	if len(p.rules[phase]) == 0 {
		return s.send(phase, normal)
	}
	return s.perform(p.next(occasion{
		phase: phase, verb: verb, sender: s.sender, recipients: recipients, now: s.sink.opts.Clock(),
	}), phase, normal)
}

// send sends a reply and returns its code.
func (s *session) send(phase, text string) (code int, ok bool) {
	if len(text) < 3 {
		return 0, true
	}
	code = codeOf(text)
	if code >= 400 {
		s.sink.book.refuse(phase)
	}
	return code, s.say(text)
}

// codeOf returns the code of a reply.
func codeOf(text string) int {
	return int(text[0]-'0')*100 + int(text[1]-'0')*10 + int(text[2]-'0')
}

// perform plays a rule; nil is normal.
func (s *session) perform(r *rule, phase, normal string) (code int, ok bool) {
	if r == nil {
		return s.send(phase, normal)
	}
	s.sink.book.rule(r)
	if r.Delay > 0 && (s.w.Flush() != nil || !s.sink.pause(time.Duration(r.Delay))) {
		return 0, false
	}
	text := normal
	if r.wire != "" {
		text = r.wire
	}
	switch r.Action {
	case "hang":
		s.w.Flush()
		if phase == "body" {
			s.sink.pause(time.Hour) // a server that stops reading
		} else {
			io.Copy(io.Discard, s.conn) // until the client, or Close, ends the connection
		}
		return 0, false
	case "drop":
		if r.wire != "" {
			s.send(phase, r.wire)
		}
		s.w.Flush()
		return 0, false
	case "reset":
		s.w.Flush()
		reset(s.conn)
		return 0, false
	case "garbage":
		raw := r.Raw
		if raw == "" {
			raw = "\x00\xff<html>no such thing as SMTP\r\n"
		}
		return 0, s.say(raw)
	case "drip":
		return s.drip(phase, text, time.Duration(r.Pace))
	}
	return s.send(phase, text)
}

// drip sends a reply octet by octet.
func (s *session) drip(phase, text string, pace time.Duration) (code int, ok bool) {
	if pace == 0 {
		pace = 100 * time.Millisecond
	}
	if s.w.Flush() != nil {
		return 0, false
	}
	for i := range len(text) {
		if !s.sink.pause(pace) {
			return 0, false
		}
		if _, err := s.conn.Write([]byte{text[i]}); err != nil {
			return 0, false
		}
	}
	if len(text) >= 3 {
		code = codeOf(text)
		if code >= 400 {
			s.sink.book.refuse(phase)
		}
	}
	return code, true
}
