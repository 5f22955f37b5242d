package sink

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// A Script says how a Sink behaves. The zero value is a server that takes everything.
// The first rule that matches in a phase is played; where none does, all is well.
type Script struct {
	// Host is the server's name in its greeting; default "sink.example".
	Host string `toml:"host"`
	// Extensions are the lines of the answer to EHLO and LHLO after the first. Left
	// out: PIPELINING, SIZE 104857600, 8BITMIME, SMTPUTF8, DSN, ENHANCEDSTATUSCODES,
	// and STARTTLS where the Sink has a certificate. With ["none"] it offers none.
	Extensions []string `toml:"extensions"`
	// PerConnection is how many mails a connection may bring before MAIL is answered
	// with 421; 0: no limit.
	PerConnection int `toml:"per_connection"`
	// Seed makes the dice of Rule.Probability fall the same way again.
	Seed uint64 `toml:"seed"`
	// Rules are tried in order.
	Rules []Rule `toml:"rule"`
}

// A Rule says what happens in one phase, to whom and when.
type Rule struct {
	// Phase is "connect", "greeting", "helo" (EHLO, HELO, LHLO), "starttls", "mail",
	// "rcpt", "data" (the command), "body" (in the middle of the mail) or "dot" (the
	// answer to the mail).
	Phase string `toml:"phase"`

	// Recipient and Sender are patterns with * and ?, compared without case. At "dot",
	// Recipient means any recipient with SMTP, and each for itself with LMTP. Rules for
	// earlier phases can have no Recipient.
	Recipient string `toml:"recipient"`
	Sender    string `toml:"sender"`
	// Verb is the command that the rule is for, where a phase has several: "EHLO",
	// "HELO" or "LHLO".
	Verb string `toml:"verb"`

	// From and Until bound the time since the script was set; Until 0 is for ever.
	From  Duration `toml:"from"`
	Until Duration `toml:"until"`
	// Of the times that all of the above match: Nth plays only that one, Every each
	// n-th, Times only the first n, Probability this share of them. 0 leaves it out.
	Nth         int     `toml:"nth"`
	Every       int     `toml:"every"`
	Times       int     `toml:"times"`
	Probability float64 `toml:"probability"`

	// Delay is waited before anything else is done.
	Delay Duration `toml:"delay"`
	// Reply is an answer such as "450 4.2.1 later"; several lines are separated by \n
	// and need the code only once, or as the server would write them.
	Reply string `toml:"reply"`
	// Action is instead of or besides Reply:
	//
	//	"hang"     says nothing more and keeps the connection
	//	"drop"     closes the connection; after Reply, if there is one
	//	"reset"    closes it with RST
	//	"garbage"  sends Raw, or something that is no SMTP, as the answer
	//	"drip"     sends the answer octet by octet, with Pace between them
	//	"lose"     (dot) says 250, but the mail is never in the mailbox
	Action string `toml:"action"`
	// Keep (dot) lets the mail count as taken although the answer never comes, or is
	// no 2xx: the server that took it and died before it could say so.
	Keep bool `toml:"keep"`
	// After (body) is how many octets of the mail are read first.
	After int `toml:"after"`
	// Raw is what "garbage" sends, octet by octet as it is here.
	Raw string `toml:"raw"`
	// Pace is the time between two octets of "drip"; default 100ms.
	Pace Duration `toml:"pace"`
}

// A Duration is a time.Duration that is written like "1m30s".
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads, and nothing below zero.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as \"250ms\", \"30s\" or \"1m30s\"", text)
	}
	*d = Duration(v)
	return nil
}

var (
	phases  = []string{"connect", "greeting", "helo", "starttls", "mail", "rcpt", "data", "body", "dot"}
	actions = []string{"hang", "drop", "reset", "garbage", "drip", "lose"}
	verbs   = []string{"EHLO", "HELO", "LHLO"}
)

// Load reads a script from a file.
func Load(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	return Parse(path, text)
}

// Parse reads a script. It is strict: what it does not know is an error. Errors name
// the file (by name), the line, the field, its value, and what would be right.
func Parse(name string, text []byte) (*Script, error) {
	var s Script
	dec := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("%s:%w", name, position(err))
	}
	if s.PerConnection < 0 {
		return nil, fmt.Errorf("%s: per_connection: %d, want 0 (no limit) or more", name, s.PerConnection)
	}
	for _, field := range append([]string{s.Host}, s.Extensions...) {
		if strings.ContainsAny(field, "\r\n") {
			return nil, fmt.Errorf("%s: host and extensions: %q, want one line each", name, field)
		}
	}
	for i := range s.Rules {
		if err := s.Rules[i].check(); err != nil {
			return nil, fmt.Errorf("%s:%d: rule %d: %w", name, ruleLine(text, i), i+1, err)
		}
	}
	return &s, nil
}

// position puts the line before an error of the decoder.
func position(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		e := strict.Errors[0]
		row, _ := e.Position()
		return fmt.Errorf("%d: unknown field %q", row, strings.Join(e.Key(), "."))
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, _ := decode.Position()
		if len(decode.Key()) == 0 {
			return fmt.Errorf("%d: %w", row, err)
		}
		return fmt.Errorf("%d: %s: %w", row, strings.Join(decode.Key(), "."), err)
	}
	return fmt.Errorf(" %w", err)
}

// ruleLine returns the line on which the i-th rule begins.
func ruleLine(text []byte, i int) int {
	for n, line := range bytes.Split(text, []byte("\n")) {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("[[rule]]")) {
			if i == 0 {
				return n + 1
			}
			i--
		}
	}
	return 1
}

// check reports the first field that cannot be right.
func (r *Rule) check() error {
	wrong := func(field string, value any, want string) error {
		return fmt.Errorf("%s: %#v, want %s", field, value, want)
	}
	oneOf := func(list []string) string { return "one of " + strings.Join(list, ", ") }
	switch {
	case !slices.Contains(phases, r.Phase):
		return wrong("phase", r.Phase, oneOf(phases))
	case r.Action != "" && !slices.Contains(actions, r.Action):
		return wrong("action", r.Action, oneOf(actions))
	case r.Verb != "" && (r.Phase != "helo" || !slices.Contains(verbs, r.Verb)):
		return wrong("verb", r.Verb, oneOf(verbs)+", and phase \"helo\"")
	case r.Recipient != "" && r.Phase != "rcpt" && r.Phase != "dot":
		return wrong("recipient", r.Recipient, `phase "rcpt" or "dot"; there is no recipient before`)
	case r.Sender != "" && !slices.Contains(phases[slices.Index(phases, "mail"):], r.Phase):
		return wrong("sender", r.Sender, `phase "mail" or later; there is no sender before`)
	case r.Until != 0 && r.Until <= r.From:
		return wrong("until", time.Duration(r.Until).String(), "a time after from, "+time.Duration(r.From).String())
	case min(r.Nth, r.Every, r.Times) < 0:
		return wrong("nth, every or times", min(r.Nth, r.Every, r.Times), "1 or more, or none of it")
	case r.Probability < 0 || r.Probability > 1:
		return wrong("probability", r.Probability, "0 to 1")
	case r.Keep && r.Phase != "dot":
		return wrong("keep", r.Keep, `phase "dot"`)
	case r.Action == "lose" && r.Phase != "dot":
		return wrong("action", r.Action, `phase "dot"`)
	case r.After < 0 || r.After > 0 && r.Phase != "body":
		return wrong("after", r.After, `0 or more, and phase "body"`)
	case r.Raw != "" && r.Action != "garbage":
		return wrong("raw", r.Raw, `action "garbage"`)
	case r.Pace != 0 && r.Action != "drip":
		return wrong("pace", time.Duration(r.Pace).String(), `action "drip"`)
	case r.Phase == "connect" && r.Reply != "":
		return wrong("reply", r.Reply, `phase "greeting"; at "connect" nothing is said`)
	case r.Reply != "" && !validReply(r.Reply):
		return wrong("reply", r.Reply, `a code from 200 to 599 and a text, such as "450 4.2.1 later"`)
	case r.Reply != "" && (r.Action == "garbage" || r.Action == "lose" || r.Action == "hang"):
		return wrong("reply", r.Reply, fmt.Sprintf("no reply: the action is %q", r.Action))
	case r.Reply == "" && r.Action == "" && r.Delay == 0:
		return wrong("reply", "", "a reply, an action or a delay")
	}
	return nil
}

// validReply reports whether s begins like an SMTP reply.
func validReply(s string) bool {
	return len(s) >= 3 && s[0] >= '2' && s[0] <= '5' && s[1] >= '0' && s[1] <= '9' && s[2] >= '0' && s[2] <= '9' &&
		(len(s) == 3 || s[3] == ' ' || s[3] == '-') && !strings.Contains(s, "\r")
}

// formatReply returns a reply as the wire has it: RFC 5321, section 4.2.1.
func formatReply(s string) string {
	code := s[:3]
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	var b strings.Builder
	for i, line := range lines {
		line = strings.TrimPrefix(line, code)
		if i == 0 || line != lines[i] { // the code was there, with a separator
			line = strings.TrimPrefix(strings.TrimPrefix(line, "-"), " ")
		}
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		b.WriteString(code + sep + line + "\r\n")
	}
	return b.String()
}
