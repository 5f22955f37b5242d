package imapd

import (
	"bytes"
	"strconv"
	"strings"
)

// A keyReader follows the conditions of a SEARCH while its lines pass the gate, and says
// SMALLER by LARGER: imapserver forgets a SMALLER where a condition on a date or on the size
// follows, and takes SMALLER 0, which holds for no mail, for none.
type keyReader struct {
	args int // of the last condition that are still to come
}

// keyArgs is how many words follow a condition's name: RFC 9051, section 6.4.4. Those that
// are not here have none; what a RETURN has stands in brackets and is no condition's name.
var keyArgs = map[string]int{
	"BCC": 1, "BEFORE": 1, "BODY": 1, "CC": 1, "CHARSET": 1, "FROM": 1, "HEADER": 2, "KEYWORD": 1, "LARGER": 1, "ON": 1, "SENTBEFORE": 1,
	"SENTON": 1, "SENTSINCE": 1, "SINCE": 1, "SMALLER": 1, "SUBJECT": 1, "TEXT": 1, "TO": 1, "UID": 1, "UNKEYWORD": 1,
}

// searchKeys returns what stands behind the name of a SEARCH, or -1 for another command.
func searchKeys(line []byte) int {
	at := bytes.IndexByte(line, ' ') + 1 // behind the tag
	for _, name := range []string{"UID ", "SEARCH "} {
		if len(line)-at >= len(name) && strings.EqualFold(string(line[at:at+len(name)]), name) {
			at += len(name)
		} else if name == "SEARCH " {
			return -1
		}
	}
	return at
}

// line returns a line of the command, of which everything from at on is conditions.
func (k *keyReader) line(line []byte, at int) []byte {
	var out []byte // nil while it is the same
	copied := 0
	for at < len(line) {
		start := at
		if at = wordEnd(line, at); at == start {
			at++ // between two words
			continue
		}
		if k.args > 0 {
			k.args--
			continue
		}
		name := strings.ToUpper(string(line[start:min(at, start+20)]))
		if k.args = keyArgs[name]; name != "SMALLER" || at == len(line) || line[at] != ' ' {
			continue
		}
		end := wordEnd(line, at+1)
		size, err := strconv.ParseUint(string(line[at+1:end]), 10, 63)
		if err != nil {
			continue // imapserver says so
		}
		out = append(out, line[copied:start]...)
		if size == 0 {
			out = append(out, "NOT ALL"...)
		} else {
			out = strconv.AppendUint(append(out, "NOT LARGER "...), size-1, 10)
		}
		at, copied, k.args = end, end, 0
	}
	if out == nil {
		return line
	}
	return append(out, line[copied:]...)
}

// wordEnd returns where the word at a place ends, which may be a quoted one; the place itself
// where none begins there.
func wordEnd(line []byte, at int) int {
	if at < len(line) && line[at] == '"' {
		for at++; at < len(line); at++ {
			switch line[at] {
			case '\\':
				at++
			case '"':
				return at + 1
			}
		}
		return len(line)
	}
	if n := bytes.IndexAny(line[at:], " ()\"\r\n"); n >= 0 {
		return at + n
	}
	return len(line)
}
