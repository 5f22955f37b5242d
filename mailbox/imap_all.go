package mailbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// AppendAll puts mails into the selected folder with one command: RFC 3502. The server syncs its
// files once for all of them.
func (s *session) AppendAll(ctx context.Context, mails []Mail) (done bool, err error) {
	if err := s.notSelected(); err != nil || len(mails) == 0 || s.backend.oneByOne(false) {
		return false, err
	}
	limit, whole := s.backend.opts.Timeout, false
	for i := range mails {
		limit += time.Duration(mails[i].Size/slowest) * time.Second
	}
	err = s.do(ctx, limit, func() error {
		caps := s.link.client.Caps()
		if done = caps.Has(imap.CapMultiAppend) && caps.Has(imap.CapLiteralPlus); !done {
			return nil
		}
		cmd, err := s.link.writeAll(s.selected, mails)
		if err != nil {
			// The server waits for more. Without it the command is none.
			s.link.wire.Conn.Close()
			s.broken = true
			return err
		}
		whole = true // from here on the server may have them
		_, err = cmd.Wait()
		return err
	})
	var no *imap.Error
	switch {
	case err == nil:
		return done, nil
	case errors.As(err, &no) && no.Type == imap.StatusResponseTypeNo:
		return false, nil // one by one it says which of them it does not want
	case errors.As(err, &no):
		// A BAD is about the command and not about a mail, so nobody is to take it for a refusal.
		s.backend.oneByOne(true)
		return false, temporary("does not understand several mails at once", errors.New(clean(err).Error()))
	}
	return false, appendError(err, whole)
}

// oneByOne reports whether the server has failed to understand several mails at once; from now
// on it has when so is set. Until a restart it gets them one by one.
func (m *IMAP) oneByOne(so bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.single = m.single || so
	return m.single
}

// mark is what the client library puts into a folder while nothing is sent.
const mark = "x"

// writeAll writes a whole command. The client library can put one mail into a folder, and waits
// until the server asks for it. So what it writes is held, and what it takes for the mail is
// replaced by all of them, which the server need not ask for: RFC 3502, and RFC 7888, LITERAL+.
func (l *link) writeAll(folder string, mails []Mail) (*imapclient.AppendCommand, error) {
	flags := make([]imap.Flag, len(mails[0].Flags))
	for i, f := range mails[0].Flags {
		flags[i] = imap.Flag(f)
	}
	l.lines.hold()
	cmd := l.client.Append(folder, int64(len(mark)), &imap.AppendOptions{Flags: flags, Time: mails[0].Date.UTC()})
	_, err := io.WriteString(cmd, mark)
	if err = errors.Join(err, cmd.Close()); err != nil {
		return nil, fmt.Errorf("begin a command: %w", err)
	}
	begin, found := bytes.CutSuffix(l.lines.release(), []byte("{1+}\r\n"+mark+"\r\n"))
	if !found {
		return nil, errors.New("the client library writes something else")
	}
	w := bufio.NewWriterSize(l.lines, 64<<10)
	w.Write(begin) // an error of this is one of what follows
	for i := range mails {
		if m := &mails[i]; i > 0 {
			fmt.Fprintf(w, " (%s) %q ", strings.Join(m.Flags, " "), m.Date.UTC().Format("_2-Jan-2006 15:04:05 -0700"))
		}
		if err := writeLiteral(w, &mails[i]); err != nil {
			return nil, err
		}
	}
	w.WriteString("\r\n")
	return cmd, w.Flush()
}

// writeLiteral writes the text of a mail.
func writeLiteral(w *bufio.Writer, m *Mail) error {
	body, err := m.Open()
	if err != nil {
		return fmt.Errorf("open the mail: %w", err)
	}
	defer body.Close()
	fmt.Fprintf(w, "{%d+}\r\n", m.Size)
	if n, err := io.CopyN(w, body, m.Size); err != nil {
		return fmt.Errorf("sent %d of %d bytes: %w", n, m.Size, err)
	}
	return nil
}

// hold keeps what is written.
func (f *filter) hold() { f.held = []byte{} }

// release returns what was written since hold, of which nothing was sent.
func (f *filter) release() []byte {
	held := f.held
	f.held = nil
	return held
}

// Write writes, or keeps what is written.
func (f *filter) Write(b []byte) (int, error) {
	if f.held != nil {
		f.held = append(f.held, b...)
		return len(b), nil
	}
	return f.Conn.Write(b)
}

// several reports whether a line is an answer that names the UIDs of several mails: the
// client library knows only of one (RFC 4315, section 3, APPENDUID).
func several(line []byte) bool {
	words := bytes.Fields(line)
	return len(words) == 5 && words[0][0] == 'T' && bytes.EqualFold(words[2], []byte("[APPENDUID"))
}
