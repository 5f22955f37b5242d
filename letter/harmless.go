package letter

import (
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Harmless returns s without what a reader cannot see and a screen obeys: control
// characters, what turns the direction of text, and what has no width. Line breaks and
// tabs stay.
func Harmless(s string) string {
	if plain(s) {
		return s
	}
	marks := 0
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			marks = 0
			return r
		case r == '\u2028' || r == '\u2029' || r == '\u0085': // line separators
			return '\n'
		case unicode.IsControl(r) || invisible(r):
			return -1
		case unicode.Is(unicode.Mn, r):
			// Piled up they cover the lines around; no language needs more.
			if marks++; marks > 6 {
				return -1
			}
			return r
		}
		marks = 0
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// plain reports whether s is what nearly every text is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\n' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

// invisible reports whether r has no shape of its own. Joiners of Persian and Indian
// scripts and of emoji are left alone.
func invisible(r rune) bool {
	if r == '\u200c' || r == '\u200d' {
		return false
	}
	return unicode.Is(unicode.Cf, r) || r >= 0xe0000 && r <= 0xe0fff || r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0'
}

// oneLine returns s harmless and in one line, as names and subjects are shown.
func oneLine(s string) string {
	if s == "" {
		return ""
	}
	return strings.Join(strings.Fields(Harmless(s)), " ")
}

// nameLength is how long a file name may be, in bytes: file systems take 255.
const nameLength = 150

// FileName returns a name under which something that came with a mail can be shown and
// saved: without a path, one that no system treats in its own way, and with its real
// ending in sight. It is empty when nothing is left.
func FileName(s string) string {
	s = oneLine(s)
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		case unicode.IsSpace(r):
			return ' '
		case r == '\u2024' || r == '\uff0e' || r == '\ufe52': // look like the dot before an ending
			return '.'
		}
		return r
	}, s)
	s = strings.Trim(s, " .")
	ext := filepath.Ext(s)
	stem := strings.TrimRight(strings.TrimSuffix(s, ext), " .")
	if stem == "" {
		stem, ext = strings.TrimPrefix(ext, "."), ""
	}
	if len(ext) > 20 {
		stem, ext = stem+ext, ""
	}
	if device(stem) {
		stem = "_" + stem
	}
	return cutText(stem, nameLength-len(ext)) + ext
}

// device reports whether Windows takes a name for a device.
func device(stem string) bool {
	stem, _, _ = strings.Cut(strings.ToUpper(stem), ".")
	switch strings.TrimRight(stem, " ") {
	case "CON", "PRN", "AUX", "NUL", "CLOCK$", "CONIN$", "CONOUT$":
		return true
	}
	return len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) && stem[3] >= '0' && stem[3] <= '9'
}

// cutText returns at most n bytes of s, and whole characters.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
