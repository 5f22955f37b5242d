package intake

// A mender makes of what people and programs put into folders what mail is: lines that end
// in CRLF (RFC 5322, section 2.1), also the last one, and no NUL. Other bodies come whole
// from the doors.
type mender struct {
	out []byte
	cr  bool // a CR came, and its LF may follow
	bol bool // at the beginning of a line
}

// mend returns p with whole line ends. What it returned before is overwritten.
func (m *mender) mend(p []byte) []byte {
	m.out = m.out[:0]
	for _, c := range p {
		switch {
		case c == '\n' && m.cr:
			m.cr = false // its line has ended already
			continue
		case c == '\n' || c == '\r':
			m.out = append(m.out, '\r', '\n')
			m.bol = true
		case c == 0:
		default:
			m.out = append(m.out, c)
			m.bol = false
		}
		m.cr = c == '\r'
	}
	return m.out
}

// last returns what the body lacks at its end.
func (m *mender) last() []byte {
	if m.bol {
		return nil
	}
	return []byte("\r\n")
}
