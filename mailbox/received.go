package mailbox

import (
	"bytes"
	"strings"

	"doppelboden"
)

// receivedID returns the id in our topmost Received line, or zero. Lines below it came with
// the mail: whoever sent it may have written ids of ours into them.
func receivedID(header []byte) doppelboden.ID {
	for len(header) > 0 {
		var field []byte
		field, header = doppelboden.NextField(header)
		name, value, ok := bytes.Cut(field, []byte{':'})
		if !ok || !strings.EqualFold(string(bytes.TrimSpace(name)), "Received") {
			continue
		}
		if id, ours := ownTrace(string(value)); ours {
			return id
		}
	}
	return doppelboden.ID{}
}

// ownTrace returns the id of a Received line that intake wrote: "by NAME (Doppelboden …)
// with PROTOCOL id ID". No name that a client chooses has brackets there.
func ownTrace(value string) (id doppelboden.ID, ours bool) {
	words := strings.Fields(value)
	for i := 0; i+2 < len(words); i++ {
		if words[i] != "by" || words[i+2] != "(Doppelboden)" && words[i+2] != "(Doppelboden" {
			continue
		}
		rest := words[i+3:]
		if words[i+2] == "(Doppelboden" {
			if len(rest) == 0 || rest[0] != "submission)" {
				continue
			}
			rest = rest[1:]
		}
		if len(rest) < 4 || rest[0] != "with" || rest[2] != "id" {
			continue
		}
		id, err := doppelboden.ParseID(strings.TrimSuffix(rest[3], ";"))
		return id, err == nil
	}
	return doppelboden.ID{}, false
}
