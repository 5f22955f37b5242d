package doppelboden

import "bytes"

// NextField returns the first field of a header with the lines that continue it, its line
// end included, and what follows: RFC 5322, section 2.2.3. The last field may have no line
// end. What is no field (no colon) is returned all the same.
func NextField(header []byte) (field, rest []byte) {
	for end := 0; ; {
		n := bytes.IndexByte(header[end:], '\n')
		if n < 0 {
			return header, nil
		}
		end += n + 1
		if end == len(header) || header[end] != ' ' && header[end] != '\t' {
			return header[:end], header[end:]
		}
	}
}
