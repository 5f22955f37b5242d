package courier

import (
	"slices"
	"strings"

	"doppelboden"
)

// judge is judge for a reply about a mail. What a stranger says about our address or
// domain is about the route, so that it never bounces a mail (promise 3).
func (t *transaction) judge(r reply, phase string, scope doppelboden.Scope) verdict {
	v := judge(r, phase, scope)
	if v.verdict == doppelboden.Refused && t.agent.route.Internet && aboutUs(v.reply) {
		v.verdict, v.scope = doppelboden.Later, doppelboden.AboutRoute
	}
	return v
}

// AboutUs reports whether a 5xx speaks of who we are (our address, our domain, a right to
// relay) and not of the mail or its recipient. Where in doubt, it does.
func AboutUs(r doppelboden.Reply) bool { return aboutUs(r) }

// aboutUs reports whether a 5xx speaks of who we are: our address on a block list, its
// name in the DNS, our domain's SPF, DKIM or DMARC, a right to relay. Replies are for
// people, and no code says this for sure; where in doubt, it is about us: the mail then
// waits and somebody is told, while a bounce could not be taken back.
func aboutUs(r doppelboden.Reply) bool {
	switch {
	case ourStatus[r.Enhanced]:
		return true
	case strings.HasPrefix(r.Enhanced, "5.1."), strings.HasPrefix(r.Enhanced, "5.2."),
		strings.HasPrefix(r.Enhanced, "5.3.4"), strings.HasPrefix(r.Enhanced, "5.6."):
		// RFC 3463, sections 3.2, 3.3, 3.4 and 3.7: address, mailbox, size, content.
		return false
	}
	text := words(r.Text)
	return !speaksOf(text, theirMail) && speaksOf(text, ourAddress)
}

// words returns a text in lower case as words between single blanks, without addresses:
// who writes to rbl@ speaks of no block list.
func words(text string) string {
	var b strings.Builder
	b.WriteByte(' ')
	for token := range strings.FieldsSeq(strings.ToLower(text)) {
		if strings.Contains(token, "@") {
			continue
		}
		for word := range strings.FieldsFuncSeq(token, func(r rune) bool { return r < '0' || r > '9' && r < 'a' || r > 'z' && r < 0x80 }) {
			b.WriteString(word)
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// speaksOf reports whether one of the phrases stands in what words returned.
func speaksOf(text string, phrases []string) bool {
	return slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(text, " "+p+" ") })
}

// ourStatus are the enhanced codes that are about us whatever the text says.
var ourStatus = map[string]bool{
	"5.1.8":  true, // RFC 3463, section 3.2: bad sender's system address: our domain in the DNS
	"5.7.8":  true, // RFC 4954, section 6: our log-in at the smart host
	"5.7.9":  true,
	"5.7.20": true, // RFC 7372, section 3: DKIM, SPF, reverse DNS, and several of them
	"5.7.21": true,
	"5.7.22": true,
	"5.7.23": true,
	"5.7.25": true,
	"5.7.26": true,
	"5.7.27": true, // RFC 7505, section 4.2: our domain takes no mail
}

// theirMail are phrases about this mail or this recipient in replies that speak of
// blocking or policies besides; as words returns them.
var theirMail = []string{
	"spam content", "virus", "malware", "attachment", "phishing", "message content", "content rejected",
	"blocked file", "file type", "user unknown", "unknown user", "no such user", "mailbox unavailable",
	"does not exist", "mailbox full", "over quota",
}

// ourAddress are phrases about us, as words returns them: seen in the replies of large
// providers, of mail programs and of block lists.
var ourAddress = []string{
	"block list", "blocklist", "blocklisted", "blacklist", "blacklisted", "black list", "blackholed", "denylist", "deny list",
	"dnsbl", "rbl", "spamhaus", "spamcop", "barracudacentral", "sorbs", "uceprotect", "abusix", "senderscore", "nixspam", "invaluement",
	"client host", "client address", "your ip", "your host", "your server", "your network", "your mail server",
	"sending ip", "sender ip", "ip address", "ip reputation", "connecting ip", "source ip", "poor reputation", "bad reputation",
	"low reputation", "reputation of", "sender reputation", "listed in", "listed at", "listed on", "listed by", "is listed",
	"blocked using", "blocked by", "blocked due to", "has been blocked", "banned", "banned sending",
	"reverse dns", "reverse lookup", "reverse hostname", "rdns", "ptr record", "ptr", "dynamic ip", "dialup", "dial up", "residential",
	"relay access denied", "relaying denied", "relay denied", "not permitted to relay", "unable to relay", "relay not permitted",
	"spf", "dmarc", "dkim", "not authorized to send", "too many connections", "rate limit", "rate limited",
	"access denied", "s3140", "s3150",
}
