package tally

import "strings"

// queueID returns what a next server calls the message that it took, out of the text
// of its final reply, or "". The text is hostile; what comes out is at most maxQueueID
// bytes of printable ASCII without spaces.
//
//	Postfix     2.0.0 Ok: queued as 4XyZ12abcDz1
//	Exim        OK id=1pXyZ0-0001Ab-2C
//	Exchange    2.6.0 <m@x> [InternalId=123456, Hostname=ex1] Queued mail for delivery
//	Dovecot     2.0.0 <u@x> 7kBmFvVjbGXqFgAA1nR5aQ Saved
//	sendmail    2.0.0 4AMHa3bQ012345 Message accepted for delivery
//	Cyrus       2.1.5 Ok SESSIONID=<cyrus-1700000000-12345-1>
//	Google      2.0.0 OK  1700000000 abc-20020a05.12 - gsmtp
//	qmail       ok 1700000000 qp 12345
func queueID(text string) string {
	lower := strings.ToLower(text)
	if len(lower) != len(text) {
		return "" // not ASCII; positions would not agree
	}
	for _, mark := range []string{"queued as ", "internalid=", "sessionid=", " id=", " qp "} {
		if i := strings.Index(lower, mark); i >= 0 {
			return firstWord(text[i+len(mark):])
		}
	}
	if strings.HasPrefix(lower, "id=") {
		return firstWord(text[len("id="):])
	}
	for _, mark := range []string{" saved", " message accepted for delivery", " - gsmtp"} {
		if i := strings.Index(lower, mark); i >= 0 && endsWord(text[i+len(mark):]) {
			return lastWord(text[:i])
		}
	}
	return ""
}

// endsWord reports whether a word cannot go on with rest.
func endsWord(rest string) bool { return rest == "" || strings.ContainsAny(rest[:1], " .,;)") }

// firstWord returns the queue id that s begins with.
func firstWord(s string) string {
	end := strings.IndexAny(s, " ,;])\t\r\n")
	if end >= 0 {
		s = s[:end]
	}
	return cleanID(s)
}

// lastWord returns the queue id that s ends with.
func lastWord(s string) string {
	return cleanID(s[strings.LastIndexAny(s, " \t")+1:])
}

// cleanID returns s without brackets and full stop, or "" when it cannot be a queue id:
// an address, an enhanced status code, or something that is not printable.
func cleanID(s string) string {
	s = strings.Trim(s, "<>().")
	if s == "" || len(s) > maxQueueID || strings.Contains(s, "@") || printable(s, len(s)) != s {
		return ""
	}
	if strings.Trim(s, "0123456789.") == "" && strings.Contains(s, ".") {
		return ""
	}
	return s
}

// printable returns the printable ASCII without spaces at the start of s, at most n
// bytes.
func printable(s string, n int) string {
	s = s[:min(len(s), n)]
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return s[:i]
		}
	}
	return s
}
