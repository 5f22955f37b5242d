package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"doppelboden"
	"doppelboden/city"
)

// A Gateway hands texts to the telephone network.
type Gateway interface {
	// Send gives one text to the gateway. The code is Policy when the gateway refuses this
	// text or this number, or says what nobody understands, else Temporary: also what it has
	// against us, such as a wrong password. Where it is sure that nothing was sent, it is an
	// unsent.
	Send(ctx context.Context, to doppelboden.Phone, text string) error
}

const (
	patience  = 30 * time.Second // for one SMS; gateways answer within a second or two
	maxAnswer = 64 << 10         // octets of a gateway's answer that are read
	maxSaid   = 200              // characters of it that people are shown
)

// An unsent is an error after which an SMS was surely not sent, although it may be later.
type unsent struct{ error }

// Unwrap returns the error itself.
func (u unsent) Unwrap() error { return u.error }

// NewGateway returns the gateway of a configuration. secret reads its password anew for
// each SMS, so that it can be changed while the node runs; nil where it has none.
func NewGateway(c *city.SMS, secret func() (string, error)) Gateway {
	if len(c.Command) > 0 {
		return &program{args: c.Command}
	}
	return &web{conf: c, secret: secret, client: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: patience / 2},
		// What another server gets could be the password.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// web is a gateway over HTTP.
type web struct {
	conf   *city.SMS
	secret func() (string, error)
	client *http.Client
}

// Send implements Gateway.
func (g *web) Send(ctx context.Context, to doppelboden.Phone, text string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := g.request(ctx, to, text)
	if err != nil {
		return err
	}
	res, err := g.client.Do(req)
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err // without the URL, which may hold the number and the text
	}
	if err != nil {
		err = fmt.Errorf("ask the SMS gateway: %w", err)
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return unsent{err}
		}
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the SMS gateway's answer: %w", err)
	}
	return g.judge(res, body)
}

// request fills in what the configuration says.
func (g *web) request(ctx context.Context, to doppelboden.Phone, text string) (*http.Request, error) {
	c, password := g.conf, ""
	if g.secret != nil {
		var err error
		if password, err = g.secret(); err != nil {
			return nil, unsent{fmt.Errorf("read the SMS gateway's password: %w", err)}
		}
	}
	body := fill(c.Body, escapeFor(c.ContentType), c.From, to, text)
	req, err := http.NewRequestWithContext(ctx, c.Method, fill(c.URL, url.QueryEscape, c.From, to, text), strings.NewReader(body))
	if err != nil {
		return nil, unsent{fmt.Errorf("make the request for the SMS gateway: %w", err)}
	}
	if c.Body != "" {
		req.Header.Set("Content-Type", c.ContentType)
	}
	req.Header.Set("Accept", "*/*")
	switch c.Auth {
	case city.AuthBasic:
		req.SetBasicAuth(c.User, password)
	case city.AuthBearer:
		req.Header.Set("Authorization", "Bearer "+password)
	case city.AuthHeader:
		req.Header.Set(c.Header, password)
	}
	return req, nil
}

// judge says what an answer means. A gateway that is asked too often, or is broken, is
// asked again, and so is one that does not know us, or whose address has changed: somebody
// repairs that, and it says nothing about the number. All else is about this SMS. What begins
// with a 4 was not sent. A success other than the one that is awaited may have been: it is as
// likely that the configuration awaits the wrong one.
func (g *web) judge(res *http.Response, body []byte) error {
	c := g.conf
	good := c.Status == res.StatusCode || c.Status == 0 && res.StatusCode/100 == 2
	if good && (c.Success == "" || bytes.Contains(body, []byte(c.Success))) {
		return nil
	}
	said := &doppelboden.Error{Public: fmt.Sprintf("the SMS gateway answered %d", res.StatusCode), Cause: errors.New(printable(body))}
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusPaymentRequired, code == http.StatusForbidden,
		code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusTooManyRequests:
		return unsent{said}
	case code/100 == 4 && code != http.StatusRequestTimeout:
		said.Code = doppelboden.Policy
		return unsent{said}
	case good, code/100 == 2:
		said.Code = doppelboden.Policy
	}
	return said
}

// program is a program that sends SMS, such as the spooler of a modem. It gets the text on
// its standard input.
type program struct{ args []string }

// Send implements Gateway.
func (g *program) Send(ctx context.Context, to doppelboden.Phone, text string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	args := make([]string, len(g.args))
	for i, a := range g.args {
		args[i] = strings.NewReplacer("{to}", string(to), "{digits}", digits(to)).Replace(a)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(text)
	cmd.WaitDelay = time.Second // a child of it may hold its output open
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("run %s: %w: %s", args[0], err, printable(out[:min(len(out), maxAnswer)]))
	}
	if err != nil && cmd.Process == nil { // it did not even start
		return unsent{err}
	}
	return err
}

// fill puts a number and a text into a template.
func fill(template string, escape func(string) string, from string, to doppelboden.Phone, text string) string {
	return strings.NewReplacer("{to}", escape(string(to)), "{digits}", escape(digits(to)), "{text}", escape(text), "{from}", escape(from)).Replace(template)
}

// escapeFor returns what makes any text harmless within a body of a type.
func escapeFor(contentType string) func(string) string {
	if strings.HasPrefix(contentType, "application/json") {
		return jsonText
	}
	return url.QueryEscape
}

// jsonText returns what stands between the quotes of a JSON string.
func jsonText(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return "" // strings can always be written
	}
	return string(quoted[1 : len(quoted)-1])
}

func digits(p doppelboden.Phone) string { return strings.TrimPrefix(string(p), "+") }

// printable returns the beginning of an answer for people.
func printable(b []byte) string {
	s := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(b))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxSaid {
		s = string(r[:maxSaid]) + "…"
	}
	return s
}
