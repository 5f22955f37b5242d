package mailbox

import (
	"context"
	"time"

	"doppelboden"
)

// A Changer is an open mailbox in which something may be changed. Folders' names have "/"
// between their parts, as in Session.
//
// What a server refuses (NO) leaves the session as it was; see Said for its words. CodeOf
// such an error is Temporary, or NotFound where a folder is missing.
type Changer interface {
	Session

	// Tree returns the folders with what they are for, at most limit of them.
	Tree(ctx context.Context, limit int) ([]Branch, error)

	// Enter opens a folder ("": the inbox) so that it can be changed. NotFound.
	Enter(ctx context.Context, folder string) (Folder, error)

	// Make makes a folder, with those above it, and has people's programs show it. One that
	// is there already stays as it is.
	Make(ctx context.Context, folder string) error

	// AppendAll puts mails into the selected folder at once: all of them, or none. done is false
	// where the server cannot do that, or does not want one of them, and then none is there.
	// When InDoubt(err) nobody knows of any of them. No error is the server's answer to a mail:
	// it holds none for Said.
	AppendAll(ctx context.Context, mails []Mail) (done bool, err error)

	// Marks returns what mails of the open folder are known by, by UID; those that are not
	// there are missing.
	Marks(ctx context.Context, uids []uint32) ([]Mark, error)

	// Between returns the UIDs of what came into the open folder between two times, which are
	// rounded to days and a day more.
	Between(ctx context.Context, from, to time.Time) ([]uint32, error)

	// Behind returns the UIDs of the open folder that are at least from.
	Behind(ctx context.Context, from uint32) ([]uint32, error)

	// Flag adds flags to mails of the entered folder and takes others away.
	Flag(ctx context.Context, uids []uint32, add, remove []string) error

	// Moves reports whether Move is one step that is done or not.
	Moves(ctx context.Context) (bool, error)

	// Move takes mails of the entered folder to another one. Where it is not one step, it
	// copies them and does what Drop does. NotFound when there is no such folder: then nothing
	// was moved.
	Move(ctx context.Context, uids []uint32, to string) error

	// Drop marks mails \Deleted of which there is a copy elsewhere, and expunges these and no
	// others; a server that cannot expunge single mails keeps them, marked.
	Drop(ctx context.Context, uids []uint32) error
}

// A Branch is a folder and what it is for.
type Branch struct {
	Name string // with "/" between its parts
	// Use is the attribute of RFC 6154, section 2, such as `\Sent`; "" when there is none.
	Use string
	// NoSelect says that it holds folders alone.
	NoSelect bool
}

// A Mark is what a mail in a folder can be recognized by.
type Mark struct {
	Seen
	MessageID string   // with its brackets; hostile
	Flags     []string // as the server has them
}

// Change opens a mailbox to change what lies in it. Errors are those of Open.
func (m *IMAP) Change(ctx context.Context, owner doppelboden.Address) (Changer, error) {
	s, err := m.Open(ctx, owner)
	if err != nil {
		return nil, err
	}
	return s.(*session), nil
}
