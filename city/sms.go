package city

import (
	"net/url"
	"path/filepath"
	"strings"
)

// An SMS says how a tenant's people get SMS: [tenant.sms].
type SMS struct {
	Command []string // a program and its arguments with {to} or {digits}, which gets the text; empty: the gateway at URL

	Method      string // of the request
	URL         string // with {to}, {digits}, {text} and {from} where they belong
	ContentType string // of Body
	Body        string // likewise; they are escaped as ContentType wants it
	From        string // who sends, as the gateway knows it; may be empty
	Auth        Auth
	User        string // of AuthBasic
	Header      string // of AuthHeader
	Password    Secret
	Status      int    // what the gateway answers when it took the text; 0: 200 to 299
	Success     string // what the answer holds then; may be empty

	Crisis bool // the crisis team is told of an outage at once, by itself
	PerDay int  // at most so many in 24 hours
}

// An Auth says how a gateway learns who asks.
type Auth string

// The ways that gateways know.
const (
	AuthNone   Auth = "none"
	AuthBasic  Auth = "basic"  // RFC 7617
	AuthBearer Auth = "bearer" // RFC 6750
	AuthHeader Auth = "header" // in a header field of its own
)

// What is taken when nothing is written.
const (
	defaultPerDay = 500 // the crisis team several times, or each department's head once
	maxPerDay     = 100_000
)

const (
	wantSMS        = `write preset = "sipgate", "seven", "link" or "smn", or url and body, or command = ["/usr/bin/program", "{to}"]`
	wantSMSURL     = `write a URL such as "https://gateway.example/sms"`
	wantSMSSecret  = `write password_file = "sms.password" (a file in the folder of the keys), or password_credential = "sms"`
	wantSMSAuth    = `write "none", "basic", "bearer" or "header"`
	wantSMSCommand = `write the whole path of a program, and {to} where the number belongs`
)

// smsPresets are the gateways whose requests we know.
var smsPresets = map[string]SMS{
	"sipgate": {Method: "POST", URL: "https://api.sipgate.com/v2/sessions/sms", ContentType: "application/json",
		Body: `{"smsId":"{from}","recipient":"{to}","message":"{text}"}`, From: "s0", Auth: AuthBasic, Status: 204},
	"seven": {Method: "POST", URL: "https://gateway.seven.io/api/sms", ContentType: "application/x-www-form-urlencoded",
		Body: "to={digits}&text={text}&json=1", Auth: AuthHeader, Header: "X-Api-Key", Success: `"success":"100"`},
	"link": {Method: "POST", ContentType: "application/json",
		Body: `{"recipientAddressList":["{digits}"],"messageContent":"{text}"}`, Auth: AuthBearer},
	"smn": {Method: "POST", ContentType: "application/json",
		Body: `{"endpoint":"{to}","message":"{text}"}`, Auth: AuthHeader, Header: "X-Auth-Token"},
}

// parseSMS reads [tenant.sms]; nil when it is not written.
func parseSMS(tenant *section) *SMS {
	if !tenant.has("sms") {
		return nil
	}
	s := tenant.table("sms")
	c := &SMS{Method: "POST", ContentType: "application/json", Auth: AuthNone}
	if s.has("preset") {
		name := s.text("preset", "", says(wantSMS))
		known, ok := smsPresets[name]
		if !ok && name != "" {
			s.wrong("preset", says("none of the gateways that are known here"), says(wantSMS))
		}
		*c = known
	}
	c.Command = s.texts("command", says(wantSMSCommand))
	switch {
	case s.has("command"):
		c.command(s)
	default:
		c.gateway(s)
	}
	c.Crisis = s.flag("crisis_at_once")
	c.PerDay = int(s.number("per_day", defaultPerDay, 1, maxPerDay))
	s.done()
	return c
}

// command checks a program.
func (c *SMS) command(s *section) {
	for _, key := range []string{"preset", "url"} {
		if s.has(key) {
			s.wrong(key, says("contradicts command"), says("leave out one of the two"))
		}
	}
	if len(c.Command) == 0 || c.Command[0] == "" {
		return // said already
	}
	all := strings.Join(c.Command[1:], " ")
	if !filepath.IsAbs(c.Command[0]) || !strings.Contains(all, "{to}") && !strings.Contains(all, "{digits}") {
		s.wrong("command", says("not a program that can be told whom to write to"), says(wantSMSCommand))
	}
}

// gateway reads how a gateway is asked.
func (c *SMS) gateway(s *section) {
	c.URL = s.text("url", c.URL, says(wantSMSURL))
	if c.URL == "" && !s.has("url") {
		s.missing("url", says(wantSMS))
	}
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil) {
		s.wrong("url", says("not the URL of a gateway"), says(wantSMSURL))
	}
	c.Method = s.choice("method", says(`write "POST", "GET" or "PUT"`), c.Method, "POST", "GET", "PUT")
	c.ContentType = s.choice("content_type", says(`write "application/json" or "application/x-www-form-urlencoded"`),
		c.ContentType, "application/json", "application/x-www-form-urlencoded")
	c.Body = s.text("body", c.Body, says(`write the request, such as body = '{"to":"{to}","text":"{text}"}'`))
	c.From = s.text("from", c.From, says("write who sends, as the gateway knows it"))
	if all := c.URL + c.Body; c.URL != "" && (!strings.Contains(all, "{text}") || !strings.Contains(all, "{to}") && !strings.Contains(all, "{digits}")) {
		s.wrong("body", says("says neither whom to write to nor what"), says(`write the request, such as body = '{"to":"{to}","text":"{text}"}'`))
	}
	c.auth(s)
	c.Status = int(s.number("status", int64(c.Status), 200, 399))
	c.Success = s.text("success", c.Success, says("write what the gateway's answer holds when it took the text"))
}

// auth reads how the gateway learns who asks.
func (c *SMS) auth(s *section) {
	c.Auth = Auth(s.choice("auth", says(wantSMSAuth), string(c.Auth), string(AuthNone), string(AuthBasic), string(AuthBearer), string(AuthHeader)))
	c.Header = s.text("header", c.Header, says(`write the name of a header field, such as "X-Api-Key"`))
	if strings.ContainsAny(c.Header, " :\r\n\t") {
		s.wrong("header", says("not the name of a header field"), says(`write the name of a header field, such as "X-Api-Key"`))
	}
	if c.Auth == AuthHeader && c.Header == "" {
		s.missing("header", says(`write the name of a header field, such as "X-Api-Key"`))
	}
	c.User = s.text("user", "", says("write the user's name"))
	if c.Auth == AuthBasic && c.User == "" && !s.has("user") {
		s.missing("user", says("write the user's name"))
	}
	if c.Auth != AuthNone {
		c.Password = parseSecret(s, says(wantSMSSecret))
		return
	}
	for _, key := range []string{"user", "password_file", "password_credential"} {
		if s.has(key) {
			s.wrong(key, says("is of no use without auth"), says(wantSMSAuth))
		}
	}
}
