package webmail

import (
	"strings"
	"unicode"

	"doppelboden"
)

// A typed is an address as somebody typed it.
type typed struct {
	Name    string
	Address doppelboden.Address
}

// parseTyped reads what people type into a field of addresses: separated by commas,
// semicolons or lines, with or without a name, also "Muster, Ada <ada@example.org>" as
// directories have it. wrong are the parts that are no address.
func parseTyped(text string) (list []typed, wrong []string) {
	pending := "" // a name that a comma cut off from its address
	for _, part := range splitTyped(text) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if pending != "" {
			part, pending = pending+", "+part, ""
		}
		name, address, angle := cutTyped(part)
		if !angle && !strings.Contains(part, "@") {
			pending = part
			continue
		}
		a, err := doppelboden.ParseAddress(address)
		if err != nil || a.Domain == "" {
			wrong = append(wrong, part)
			continue
		}
		list = append(list, typed{Name: name, Address: a})
	}
	if pending != "" {
		wrong = append(wrong, pending)
	}
	return list, wrong
}

// splitTyped cuts at separators outside of quotes and angle brackets.
func splitTyped(text string) (parts []string) {
	start, quoted, angle := 0, false, false
	for i, r := range text {
		switch {
		case r == '"' && !angle:
			quoted = !quoted
		case quoted:
		case r == '<':
			angle = true
		case r == '>':
			angle = false
		case r == ',' && !angle, r == ';' && !angle, r == '\n':
			parts = append(parts, text[start:i])
			start, angle = i+1, false
		}
	}
	return append(parts, text[start:])
}

// cutTyped takes a name and an address apart.
func cutTyped(part string) (name, address string, angle bool) {
	i := strings.LastIndexByte(part, '<')
	if i < 0 || !strings.HasSuffix(part, ">") {
		return "", part, false
	}
	name = strings.TrimSpace(part[:i])
	if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' {
		name = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(name[1 : len(name)-1])
	}
	return line(name), strings.TrimSpace(part[i+1 : len(part)-1]), true
}

// line makes one line of a text without control characters.
func line(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd")))
}
