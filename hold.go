package doppelboden

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// A Hold says why a delivery is held. What ends it follows from the reason.
type Hold struct {
	Reason HoldReason
	// Route is the name of the lane by which it was to go, such as "stadt/groupware", or
	// empty where nobody had asked yet which.
	Route string
}

// A HoldReason says why something is held. The database keeps the numbers.
type HoldReason int

const (
	// HeldUnsaid: who held it said no more than the reply does. A person decides.
	HeldUnsaid HoldReason = 0
	// HeldAddress: the city's own groupware said that it has no such mailbox. It is tried
	// again by itself, and returned when everything else says the same (promise 3).
	HeldAddress HoldReason = 1
	// HeldMail: the groupware refused it for another reason, such as its content or a
	// full mailbox. It is tried again by itself, and never returned by itself.
	HeldMail HoldReason = 2
	// HeldUs: the groupware refused it because of our address, our domain or a right to
	// relay. It is tried again by itself, and never returned by itself.
	HeldUs HoldReason = 3
	// HeldByPerson: somebody took it out of the queue.
	HeldByPerson HoldReason = 4
	// HeldMalware: it is in quarantine.
	HeldMalware HoldReason = 5
	// HeldForNobody: nobody has the address; somebody must say whose it is.
	HeldForNobody HoldReason = 6
	// HeldUnreturned: it was to go back to its sender and may not (promise 12).
	HeldUnreturned HoldReason = 7
	// HeldByCheck: a check of the sender or of the content was against it.
	HeldByCheck HoldReason = 8
)

// String returns the reason's name as commands and metrics use it.
func (r HoldReason) String() string {
	names := [...]string{"unsaid", "address refused", "mail refused", "we are refused", "person", "malware", "nobody", "not returned", "check"}
	if r < 0 || int(r) >= len(names) {
		return "unsaid"
	}
	return names[r]
}

// TriedAgain reports whether what is held for this reason is tried again by itself.
func (r HoldReason) TriedAgain() bool { return r == HeldAddress || r == HeldMail || r == HeldUs }

// Group names what is held for the same reason on the same route with the same words,
// whatever mailbox, number or time they name. It is short, and the same at any time and
// on any node.
func (h Hold) Group(tenant TenantID, reply string, to Address) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%d\n%s\n%s", tenant, h.Reason, h.Route, strings.ToLower(Gist(reply, to))))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
}

// Said takes a line apart that Outcome.Line made: phase, server, and what it said.
func Said(line string) (phase, server string, r Reply) {
	phase, rest, _ := strings.Cut(line, " ")
	if head, tail, found := strings.Cut(rest, ": "); found && !strings.Contains(head, " ") {
		server, rest = head, tail
	}
	code, text, _ := strings.Cut(rest, " ")
	if n, err := strconv.Atoi(code); err != nil || n < 200 || n > 599 || len(code) != 3 {
		return phase, server, Reply{Text: rest}
	}
	r.Code, _ = strconv.Atoi(code)
	r.Text = text
	if token, _, _ := strings.Cut(text, " "); isEnhanced(token) {
		r.Enhanced = token
	}
	return phase, server, r
}

// isEnhanced reports whether s is an enhanced status code: RFC 3463, section 2.
func isEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || len(s) > 9 || !strings.Contains("245", parts[0]) || len(parts[0]) != 1 {
		return false
	}
	return parts[1] != "" && parts[2] != "" && strings.Trim(parts[1]+parts[2], "0123456789") == ""
}

const (
	// maxGist bounds what is compared of a reply, in bytes: what comes later in it are
	// links and names of servers.
	maxGist = 200
	// blank stands in a gist for what differs from mail to mail.
	blank = "#"
)

// Gist returns what replies about different mails to different mailboxes have in common:
// the words, without server, addresses, numbers, names of queues and times. to is whom the
// reply is about. It is as hostile as the reply.
func Gist(reply string, to Address) string {
	_, _, said := Said(reply)
	text := said.Text
	var words []string
	size := 0
	if said.Code != 0 {
		words = append(words, strconv.Itoa(said.Code))
	} else {
		text = reply
	}
	for i, token := range strings.Fields(text) {
		word := token
		if i > 0 || !isEnhanced(token) {
			word = plainWord(token, to)
		}
		if word == blank && len(words) > 0 && words[len(words)-1] == blank {
			continue
		}
		if size += len(word) + 1; size > maxGist {
			break
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// plainWord returns a word of a reply, or blank when it names something.
func plainWord(token string, to Address) string {
	core := strings.TrimFunc(token, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	switch {
	case strings.ContainsAny(token, "@=/\\_") || strings.ContainsFunc(token, unicode.IsDigit):
		return blank
	case strings.HasPrefix(token, "<"), len(core) > 24:
		return blank
	case core != "" && (strings.EqualFold(core, to.Local) || strings.EqualFold(core, to.Domain)):
		return blank
	case looksRandom(core):
		return blank
	}
	return token
}

// looksRandom reports whether a word of at least eight letters is written as no word is:
// with capitals behind small letters, or as a number to the base 16.
func looksRandom(word string) bool {
	if len(word) < 8 {
		return false
	}
	turns, hex := 0, true
	var last rune
	for _, r := range word {
		if unicode.IsUpper(r) && unicode.IsLower(last) {
			turns++
		}
		hex = hex && strings.ContainsRune("ABCDEFabcdef", r)
		last = r
	}
	return turns > 1 || hex
}
