package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"doppelboden"
)

// slowest is the speed below which a server that takes a mail counts as dead, in bytes a
// second.
const slowest = 32 << 10

// Append puts mails into the selected folder, one command after the other: a mail must not
// overtake one before it that was refused.
func (s *session) Append(ctx context.Context, mails []Mail) (uids []uint32, err error) {
	if err := s.notSelected(); err != nil {
		return nil, err
	}
	for i := range mails {
		uid, err := s.append(ctx, &mails[i])
		if err != nil {
			return uids, err
		}
		uids = append(uids, uid)
	}
	return uids, nil
}

// append puts one mail into the selected folder. RFC 9051, section 6.3.12.
func (s *session) append(ctx context.Context, m *Mail) (uid uint32, err error) {
	body, err := m.Open()
	if err != nil {
		return 0, fmt.Errorf("open the mail: %w", err)
	}
	defer body.Close()
	flags := make([]imap.Flag, len(m.Flags))
	for i, f := range m.Flags {
		flags[i] = imap.Flag(f)
	}
	limit := s.backend.opts.Timeout + time.Duration(m.Size/slowest)*time.Second
	whole, cut := false, error(nil)
	err = s.do(ctx, limit, func() error {
		cmd := s.link.client.Append(s.selected, m.Size, &imap.AppendOptions{Flags: flags, Time: m.Date.UTC()})
		n, err := io.CopyN(cmd, body, m.Size)
		if err != nil {
			// The server waits for more. Without it the command is none.
			s.link.wire.Conn.Close()
			s.broken = true
			cmd.Close()
			_, answer := cmd.Wait()
			var no *imap.Error
			if errors.As(answer, &no) {
				return answer // it did not want the mail at all
			}
			cut = fmt.Errorf("sent %d of %d bytes: %w", n, m.Size, err)
			return cut
		}
		whole = true // from here on the server may have it
		if err := cmd.Close(); err != nil {
			return err
		}
		data, err := cmd.Wait()
		if err == nil {
			uid = uint32(data.UID) // RFC 4315, section 3; 0 where the server does not say it
		}
		return err
	})
	if err == nil {
		return uid, nil
	}
	return 0, appendError(err, whole)
}

// appendError says what it means that a mail was not taken.
func appendError(err error, whole bool) error {
	var no *imap.Error
	switch {
	case errors.As(err, &no) && no.Code == imap.ResponseCodeTooBig: // RFC 4469, section 4.2
		return &doppelboden.Error{Code: doppelboden.Policy, Public: "the mailbox takes no mail of this size", Cause: clean(err)}
	case errors.As(err, &no):
		return temporary("does not take a mail", clean(err))
	case whole:
		return temporary("does not say whether it has taken a mail", Doubtful(err))
	}
	return temporary("breaks off while it takes a mail", err)
}
