package doppelboden

import "strings"

// A Phone is a telephone number as ITU-T E.164 writes it: "+" and at most 15 digits. ""
// is none.
type Phone string

// ParsePhone reads a number as people write it: with spaces, hyphens, slashes, dots and
// brackets, with "+" or "00" before the country, or with a single "0" for Germany. Every
// error has the code Invalid.
func ParsePhone(s string) (Phone, error) {
	bad := func(why string) (Phone, error) { return "", &Error{Code: Invalid, Public: why} }
	s = strings.TrimSpace(s)
	rest, plus := strings.CutPrefix(s, "+")
	// "+49 (0)171": the zero is for those who call from inside the country.
	if plus {
		rest = strings.Replace(rest, "(0)", "", 1)
	}
	var digits strings.Builder
	for _, r := range rest {
		switch {
		case r >= '0' && r <= '9':
			digits.WriteRune(r)
		case !strings.ContainsRune(" -/.()\u00a0\u2011\u2013", r):
			return bad("not a telephone number: it holds something that is no digit")
		}
	}
	d := digits.String()
	switch {
	case plus:
	case strings.HasPrefix(d, "00"):
		d = d[2:]
	case strings.HasPrefix(d, "0"):
		d = "49" + d[1:]
	default:
		return bad("not a telephone number: it begins neither with + nor with 0")
	}
	if len(d) < 7 || len(d) > 15 || d[0] == '0' {
		return bad("not a telephone number: write it as +49 171 1234567")
	}
	return Phone("+" + d), nil
}
