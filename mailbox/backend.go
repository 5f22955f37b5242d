package mailbox

import (
	"context"
	"io"
	"time"

	"doppelboden"
)

// A Backend opens mailboxes of one groupware with the rights of an administrator. It may
// be used by several goroutines.
type Backend interface {
	// Open returns a session with one mailbox, after waiting for a free connection where
	// the backend has a bound. CodeOf the error is NotFound when the groupware has no such
	// mailbox, Policy when it refuses our log-in, and else Temporary.
	Open(ctx context.Context, owner doppelboden.Address) (Session, error)
	// Close ends kept connections. Sessions that are open end with an error.
	Close() error
}

// A Session is an open mailbox. One goroutine uses it. After an error that is not NotFound
// or Policy it is only good for Close.
//
// The context of every call bounds it; the session has bounds of its own besides.
type Session interface {
	// Folders returns the names of all folders that can be selected, with "/" between
	// their parts, at most limit of them; the inbox is the first.
	Folders(ctx context.Context, limit int) ([]string, error)

	// Select looks into a folder ("": the inbox), without marking anything. The code is
	// NotFound when there is none with this name.
	Select(ctx context.Context, folder string) (Folder, error)

	// Append puts mails into the selected folder in their order and returns the UIDs of
	// those that are surely there: the first len(uids) of mails. A UID is 0 where the
	// server does not say it. Of the mail after these, and of no other, nobody knows
	// whether it is there when InDoubt(err); otherwise it is not. The code is Policy when
	// the mailbox refuses it for good (it is too large), else Temporary (it is full).
	Append(ctx context.Context, mails []Mail) (uids []uint32, err error)

	// Seen yields what lies in the selected folder with a UID of at least from, by UID.
	Seen(ctx context.Context, from uint32, yield func(Seen) error) error

	// Find returns which of ids lie in the selected folder, by our Received line.
	Find(ctx context.Context, ids []doppelboden.ID) (map[doppelboden.ID]Seen, error)

	// Close gives the connection back or ends it.
	Close() error
}

// A Folder is what a server says of a folder: RFC 9051, section 2.3.1.1.
type Folder struct {
	Validity uint32 // UIDVALIDITY: UIDs of different ones say nothing of each other
	Next     uint32 // UIDNEXT: what comes later has at least this UID; 0: the server does not say
	Exists   uint32 // how many mails lie in it
}

// A Mail is what Append puts into a folder.
type Mail struct {
	Date  time.Time // INTERNALDATE: when it came to us
	Flags []string  // such as `\Seen`
	Size  int64     // of what Open reads, in bytes
	Open  func() (io.ReadCloser, error)
}

// A Seen is a mail in a folder.
type Seen struct {
	UID  uint32
	ID   doppelboden.ID // of our topmost Received line; zero: it did not come through us
	Size int64          // as the server counts it, in bytes
	Date time.Time      // INTERNALDATE
}
