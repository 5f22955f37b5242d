package letter

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
)

// decodeCharset returns text in UTF-8, and whether every character could be read. declared
// is what the mail calls its charset; mailers are often wrong about it. So bytes that can
// hardly be anything but UTF-8 are read as that, then the declaration is believed, and what
// remains is taken for Windows-1252.
func decodeCharset(text []byte, declared string) (string, bool) {
	declared = strings.ToLower(strings.Trim(declared, " \t\"'"))
	if i := strings.IndexByte(declared, '*'); i >= 0 { // RFC 2231, section 5: a language
		declared = declared[:i]
	}
	switch declared {
	case "", "us-ascii", "ascii", "utf-8", "utf8", "unknown-8bit", "x-unknown", "default", "binary":
		return guess(text)
	}
	e := find(declared)
	if e == nil {
		s, _ := guess(text)
		return s, isASCII(text)
	}
	if _, single := e.(*charmap.Charmap); single && !isASCII(text) && utf8.Valid(text) {
		return string(text), true
	}
	decoded, err := e.NewDecoder().Bytes(text)
	if err == nil && !bytes.ContainsRune(decoded, utf8.RuneError) {
		return string(decoded), true
	}
	if !isASCII(text) && utf8.Valid(text) {
		return string(text), true
	}
	if err != nil {
		return fromUnknown(text), false
	}
	return string(decoded), false
}

// guess reads text of which nobody says what it is.
func guess(text []byte) (string, bool) {
	if isASCII(text) {
		// Japanese mail of this kind is 7-bit, and often not declared.
		if bytes.Contains(text, []byte("\x1b$B")) || bytes.Contains(text, []byte("\x1b$@")) {
			if decoded, err := japanese.ISO2022JP.NewDecoder().Bytes(text); err == nil {
				return string(decoded), true
			}
		}
		return string(text), true
	}
	return fromUnknown(text), true
}

// fromUnknown reads text as UTF-8 if it is that, else as Windows-1252, in which every byte
// means something.
func fromUnknown(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	decoded, err := charmap.Windows1252.NewDecoder().Bytes(text)
	if err != nil { // it has no errors
		return strings.ToValidUTF8(string(text), "\ufffd")
	}
	return string(decoded)
}

// find returns the encoding of a name, or nil.
func find(name string) encoding.Encoding {
	switch name {
	case "iso-8859-1", "latin1": // RFC 1345 has controls where mailers mean these
		return charmap.Windows1252
	case "cp850", "ibm850":
		return charmap.CodePage850
	}
	if len(name) > 40 {
		return nil
	}
	if e, err := htmlindex.Get(name); err == nil {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil {
		return e // nil for what is registered and not built
	}
	return nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
