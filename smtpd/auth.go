package smtpd

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"doppelboden"
)

// ehloAuth is what EHLO tells clients that may log in.
const ehloAuth = "250-AUTH PLAIN LOGIN\r\n"

// mayLogIn reports whether a log-in makes sense now. A password is never asked for in
// clear text.
func (c *conn) mayLogIn() bool {
	return c.server.opts.Gate != nil && c.tls != nil && c.login == ""
}

// sender returns the name of the own sender that speaks with us, or "".
func (c *conn) sender(gate Gate) string {
	if c.login != "" {
		return c.login
	}
	return gate.Known(c.peer, c.tls)
}

// refuseStranger answers MAIL of somebody whom nobody knows.
func (c *conn) refuseStranger() {
	c.server.metrics.mailRefused(doppelboden.Policy)
	if c.tls == nil && c.server.opts.TLS != nil {
		c.refuseMail(replyTLSFirst)
		return
	}
	c.refuseMail(replyLoginFirst)
}

// doAuth: RFC 4954, section 4.
func (c *conn) doAuth(arg []byte) {
	kind, first, _ := bytes.Cut(arg, []byte(" "))
	switch {
	case c.server.opts.Gate == nil:
		c.wrong(replyNotDone)
	case c.helo == "":
		c.wrong(replyHeloFirst)
	case c.tls == nil:
		c.wrong(replyAuthNeedsTLS)
	case c.login != "":
		c.wrong(replyAuthAlready)
	case c.mail.tx != nil:
		c.wrong(replyAuthInMail)
	case strings.EqualFold(string(kind), "PLAIN"):
		c.authPlain(first)
	case strings.EqualFold(string(kind), "LOGIN"):
		c.authLogin(first)
	case len(kind) == 0:
		c.wrong(replyArgument)
	default:
		c.wrong(replyAuthKind)
	}
}

// authPlain: RFC 4616.
func (c *conn) authPlain(first []byte) {
	text, ok := c.respond(first, "")
	if !ok {
		return
	}
	as, user, password, ok := parsePlain(text)
	if !ok {
		c.wrong(replyAuthSyntax)
		return
	}
	// Nobody here acts for somebody else: RFC 4616, section 2.
	if as != "" && as != user {
		c.logInFailed(replyAuthWrong)
		return
	}
	c.logIn(user, password)
}

// authLogin is what old programs know: user and password, each asked for by itself. No
// standard has it; draft-murchison-sasl-login describes it.
func (c *conn) authLogin(first []byte) {
	user, ok := c.respond(first, "VXNlcm5hbWU6") // "Username:"
	if !ok {
		return
	}
	password, ok := c.respond(nil, "UGFzc3dvcmQ6") // "Password:"
	if !ok {
		return
	}
	if user == "" || !utf8.ValidString(user) {
		c.wrong(replyAuthSyntax)
		return
	}
	c.logIn(user, password)
}

// respond returns the client's response: the initial one, or what it answers to the
// challenge. It answers the client when there is none.
func (c *conn) respond(initial []byte, challenge string) (string, bool) {
	if len(initial) == 0 {
		c.wire.append("334 ", challenge, "\r\n")
		line, err := c.nextLine()
		if err != nil {
			c.readFailed(err)
			return "", false
		}
		initial = line
	} else if string(initial) == "=" { // RFC 4954, section 4: an empty initial response
		return "", true
	}
	if string(initial) == "*" {
		c.wrong(replyAuthOff)
		return "", false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(string(initial))
	if err != nil {
		c.wrong(replyAuthBase64)
		return "", false
	}
	return string(text), true
}

// parsePlain reads [authzid] NUL authcid NUL passwd: RFC 4616, section 2.
func parsePlain(text string) (as, user, password string, ok bool) {
	parts := strings.Split(text, "\x00")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" || !utf8.ValidString(text) {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// logIn asks the Gate and answers.
func (c *conn) logIn(user, password string) {
	name, err := c.server.opts.Gate.Login(c.ctx, c.peer, user, password)
	switch {
	case err == nil:
		c.login = name
		c.server.metrics.logins.WithLabelValues("done").Inc()
		c.reply(replyLoggedIn)
	case doppelboden.CodeOf(err) == doppelboden.Policy:
		c.logInFailed(replyAuthWrong)
	default:
		// RFC 4954, section 6: 454 is for what is not the client's fault.
		c.logInFailed(reply("454 4.7.0 " + plain(doppelboden.PublicOf(err)) + "\r\n"))
	}
}

// logInFailed answers a log-in that did not work, and ends the connection when there
// were too many. The limits on guessing are the Gate's.
func (c *conn) logInFailed(r reply) {
	c.server.metrics.logins.WithLabelValues("failed").Inc()
	c.reply(r)
	if c.loginFailed++; c.loginFailed >= c.server.opts.MaxLoginFailures {
		c.finalReply(replyLogins)
	}
}
