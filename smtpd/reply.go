package smtpd

import (
	"strconv"

	"doppelboden"
)

// maxReply bounds one reply line, CRLF included: RFC 5321, section 4.5.3.1.5.
const maxReply = 512

// A reply is one whole reply, ready to be sent. The first three octets are its code.
type reply string

// The replies that never change. RFC 2034: each 2xx, 4xx and 5xx but the greeting and
// those to EHLO and HELO carries a code of RFC 3463.
const (
	replyOK       reply = "250 2.0.0 Ok\r\n"
	replySender   reply = "250 2.1.0 Ok\r\n"
	replyRcpt     reply = "250 2.1.5 Ok\r\n"
	replyData     reply = "354 End data with <CR><LF>.<CR><LF>\r\n"
	replyBye      reply = "221 2.0.0 Bye\r\n"
	replyStartTLS reply = "220 2.0.0 Ready to start TLS\r\n"
	replyHelp     reply = "214 2.0.0 RFC 5321: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP STARTTLS QUIT\r\n"
	// RFC 5321, section 3.5.3: who exists is answered at RCPT only.
	replyVrfy reply = "252 2.5.0 Cannot say, but will take mail and try\r\n"

	replyClosing     reply = "421 4.3.2 Shutting down, please try again\r\n"
	replyTooMany     reply = "421 4.3.2 Too many connections, please try again\r\n"
	replyTooManyOf   reply = "421 4.7.0 Too many connections from your address, please try again\r\n"
	replyTimeout     reply = "421 4.4.2 Timeout, closing\r\n"
	replyTooSlow     reply = "421 4.4.2 Body comes too slowly, closing\r\n"
	replyNoMail      reply = "421 4.4.2 No mail for too long, closing\r\n"
	replyErrors      reply = "421 4.7.0 Too many errors, closing\r\n"
	replyRefusals    reply = "421 4.7.0 Too many unknown recipients, closing\r\n"
	replyJunk        reply = "421 4.7.0 Too many commands without mail, closing\r\n"
	replyOvershoot   reply = "421 4.5.3 Far too many recipients, closing\r\n"
	replyEarly       reply = "554 5.5.0 You talked before the greeting\r\n"
	replyEarlyLater  reply = "421 4.7.0 You talked before the greeting\r\n"
	replyUnsafe      reply = "421 4.7.0 Unsafe pipelining, closing\r\n"
	replyFlood       reply = "552 5.3.4 Message is far larger than the SIZE we announce, closing\r\n"
	replyInternal    reply = "421 4.3.0 Internal problem, please try again\r\n"
	replyNotForHTTP  reply = "554 5.5.1 This is SMTP\r\n"
	replyAfterTLSCmd reply = "554 5.5.1 STARTTLS must be the last command before TLS\r\n"

	replyStrayProxy reply = "554 5.7.0 This port is for our load balancers\r\n"
	replyLogins     reply = "421 4.7.0 Too many failed log-ins, closing\r\n"

	replyLoggedIn     reply = "235 2.7.0 Welcome\r\n"                                 // RFC 4954, section 6
	replyLoginFirst   reply = "530 5.7.0 Log in first\r\n"                            // RFC 4954, section 6
	replyTLSFirst     reply = "530 5.7.0 Issue STARTTLS and log in first\r\n"         // RFC 3207, section 4
	replyAuthNeedsTLS reply = "538 5.7.11 Passwords are taken through TLS only\r\n"   // RFC 5248
	replyAuthAlready  reply = "503 5.5.1 You have logged in already\r\n"              // RFC 4954, section 4
	replyAuthInMail   reply = "503 5.5.1 Not within a mail transaction\r\n"           // RFC 4954, section 4
	replyAuthKind     reply = "504 5.5.4 We take AUTH PLAIN and AUTH LOGIN\r\n"       // RFC 4954, section 4
	replyAuthOff      reply = "501 5.7.0 Log-in cancelled\r\n"                        // RFC 4954, section 4
	replyAuthBase64   reply = "501 5.5.2 That is not base64\r\n"                      // RFC 4954, section 4
	replyAuthSyntax   reply = "501 5.5.2 That is not what the mechanism asks for\r\n" // RFC 4616, section 2
	replyAuthWrong    reply = "535 5.7.8 User or password is wrong\r\n"               // RFC 4954, section 6
	replyNotHop       reply = "550 5.7.0 You may not speak for others\r\n"
	replyXclient      reply = "501 5.5.4 Malformed XCLIENT\r\n"
	replyXclientMail  reply = "503 5.5.1 Not within a mail transaction\r\n"

	replyBareLF     reply = "500 5.5.2 Commands must end in CRLF, closing\r\n"
	replyOverlong   reply = "500 5.5.2 Line too long\r\n"
	replyControl    reply = "500 5.5.2 Control characters in command\r\n"
	replyUnknown    reply = "500 5.5.1 Command not recognised\r\n"
	replyNotDone    reply = "502 5.5.1 Command not implemented\r\n"
	replyNoArgument reply = "501 5.5.4 No argument, please\r\n"
	replyArgument   reply = "501 5.5.4 Argument missing\r\n"
	replyHelo       reply = "501 5.5.4 That is not a host name\r\n"
	replyMailSyntax reply = "501 5.5.4 Syntax: MAIL FROM:<address> [parameters]\r\n"
	replyRcptSyntax reply = "501 5.5.4 Syntax: RCPT TO:<address> [parameters]\r\n"
	replyBdatSyntax reply = "501 5.5.4 Syntax: BDAT size [LAST], closing\r\n"
	replyParam      reply = "501 5.5.4 Malformed parameter\r\n"
	replyTwice      reply = "501 5.5.4 Parameter given twice\r\n"
	replyNoParam    reply = "555 5.5.4 Parameter not recognised or not implemented\r\n"
	replyBadSender  reply = "501 5.1.7 That is not a mail address\r\n"
	replyBadRcpt    reply = "501 5.1.3 That is not a mail address\r\n"
	replyUTF8       reply = "553 5.6.7 Address needs SMTPUTF8\r\n" // RFC 6531, section 3.5
	replySize       reply = "552 5.3.4 Message is larger than the SIZE we announce\r\n"
	replyRcptLimit  reply = "452 4.5.3 Too many recipients, please send the rest in another transaction\r\n"
	replyHeloFirst  reply = "503 5.5.1 EHLO or HELO first\r\n"
	replyMailFirst  reply = "503 5.5.1 MAIL first\r\n"
	replyRcptFirst  reply = "503 5.5.1 RCPT first\r\n"
	replyNested     reply = "503 5.5.1 MAIL was given already\r\n"
	replyInBdat     reply = "503 5.5.1 Not between BDAT chunks\r\n"
	replyTLSAlready reply = "503 5.5.1 TLS is on already\r\n"
	replyTLSInMail  reply = "503 5.5.1 Not within a mail transaction\r\n"
	replyNoRcpt     reply = "554 5.5.1 No valid recipients\r\n"
	// RFC 2920, section 3.1, has 554 here. When no refusal was for good, neither is this.
	replyNoRcptNow reply = "451 4.5.1 No valid recipients for now\r\n"
	replyBdatOver  reply = "503 5.5.1 The mail failed already, chunk discarded\r\n"
)

// where says at which command an error is answered.
type where int

const (
	atMail where = iota
	atRcpt
	atBody
)

// status returns the codes of RFC 5321, section 4.2.3, and RFC 3463 for an error's code.
func status(c doppelboden.Code, at where) string {
	switch c {
	case doppelboden.Busy:
		return "451 4.3.2 "
	case doppelboden.StorageFull:
		return "452 4.3.1 "
	case doppelboden.NoSuchMailbox, doppelboden.NotFound:
		return "550 5.1.1 "
	case doppelboden.MailboxListStale:
		return "450 4.4.3 " // RFC 3463, section 3.5: directory server failure
	case doppelboden.OtherTenant, doppelboden.TooManyRecipients:
		return "452 4.5.3 " // RFC 5321, section 4.5.3.1.10: send it again on its own
	case doppelboden.TenantPaused:
		return "450 4.3.2 "
	case doppelboden.TenantClosed:
		return "550 5.7.1 "
	case doppelboden.TooLarge:
		return "552 5.3.4 "
	case doppelboden.Loop:
		return "554 5.4.6 "
	case doppelboden.BadMessage:
		return "550 5.6.0 "
	case doppelboden.Policy:
		if at == atRcpt {
			return "550 5.7.1 " // relaying denied
		}
		return "554 5.7.1 "
	case doppelboden.Invalid:
		switch at {
		case atMail:
			return "553 5.1.7 "
		case atRcpt:
			return "553 5.1.3 "
		}
		return "550 5.6.0 "
	case doppelboden.Fenced:
		return "451 4.3.2 "
	}
	return "451 4.3.0 "
}

// errorReply returns the reply for an error of the Intake. Nothing of err is in it but
// its class and the text that was made for strangers.
func errorReply(err error, at where) reply {
	if r := doppelboden.PassedOf(err); r.Code >= 400 && r.Code < 600 {
		return reply(strconv.Itoa(r.Code) + " " + plain(r.Text) + "\r\n") // the enhanced code is part of its text
	}
	if r := doppelboden.PassedOf(err); r.Code >= 400 && r.Code < 600 {
		return reply(strconv.Itoa(r.Code) + " " + plain(r.Text) + "\r\n") // the enhanced code is part of its text
	}
	return reply(status(doppelboden.CodeOf(err), at) + plain(doppelboden.PublicOf(err)) + "\r\n")
}

// plain returns text as one line of printable US-ASCII that fits into a reply.
func plain(text string) string {
	const room = maxReply - len("250 2.0.0 ") - len("\r\n")
	for i := 0; ; i++ {
		if i == len(text) && i <= room {
			return text
		}
		if i == len(text) || text[i] < ' ' || text[i] > '~' {
			break
		}
	}
	b := []byte(text[:min(len(text), room)])
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// temporary reports whether r says: not now.
func (r reply) temporary() bool { return r[0] == '4' }
