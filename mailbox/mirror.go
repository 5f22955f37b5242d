package mailbox

import (
	"context"
	"io"
	"time"

	"doppelboden"
)

// A Mirror is an open mailbox that is read whole, with its texts. It changes nothing: no
// flag, no \Recent.
type Mirror interface {
	Session

	// Tree returns the folders of the mailbox's owner with what they are for, at most limit
	// of them.
	Tree(ctx context.Context, limit int) ([]Branch, error)

	// Foreign returns what the names of folders begin with that are other people's: RFC 2342.
	Foreign(ctx context.Context) ([]string, error)

	// States returns what the server says of folders without opening them, by name; nil when
	// it cannot say it of several at once.
	States(ctx context.Context) (map[string]State, error)

	// Look opens a folder to read it. NotFound.
	Look(ctx context.Context, folder string) (State, error)

	// Behind returns the UIDs of the open folder that are at least from, sorted.
	Behind(ctx context.Context, from uint32) ([]uint32, error)

	// Since returns the UIDs of what came into the open folder at a time or later, rounded to
	// days, sorted.
	Since(ctx context.Context, from time.Time) ([]uint32, error)

	// Flags yields the flags of mails of the open folder from one UID to another, both
	// included, by UID; with a modseq other than 0 only of those that changed since then.
	Flags(ctx context.Context, from, to uint32, modseq uint64, yield func(uid, flags uint32) error) error

	// Heads returns what mails begin with, by UID; those that are not there are missing.
	Heads(ctx context.Context, uids []uint32) ([]Head, error)

	// Read yields mails of the open folder with their texts, of size bytes together. yield
	// must read all of r; its size is what the server says now. Mails that are not there are
	// missing.
	Read(ctx context.Context, uids []uint32, size int64, yield func(uid uint32, size int64, r io.Reader) error) error
}

// A State is what a server says of a folder.
type State struct {
	Folder
	ModSeq uint64 // HIGHESTMODSEQ: RFC 7162, section 3.1.2.1; 0: the server has none
}

// A Head is what a mail begins with.
type Head struct {
	Seen
	Flags  uint32 // doppelboden.Seen and so on; others are left out
	Header []byte // the header section with the empty line behind it, at most MaxHeader bytes
	Text   []byte // what follows, at most MaxText bytes
}

// What is read of a mail to know it. A header that is longer is not known by its text.
const (
	MaxHeader = 64 << 10
	MaxText   = 4 << 10
)

// Mirror opens a mailbox to read it whole. Errors are those of Open.
func (m *IMAP) Mirror(ctx context.Context, owner doppelboden.Address) (Mirror, error) {
	s, err := m.Open(ctx, owner)
	if err != nil {
		return nil, err
	}
	one := s.(*session)
	one.single = true
	return one, nil
}

// ReceivedID returns the id in the topmost Received line of ours in a header, or zero. What
// never came through us may hold one that somebody wrote into it.
func ReceivedID(header []byte) doppelboden.ID { return receivedID(header) }
