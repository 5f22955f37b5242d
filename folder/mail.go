package folder

import (
	"context"
	"io"
	"time"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/store"
)

// A Mail is one mail as people see it: what we put before it, and its body without what
// only claims to be ours.
type Mail struct {
	Message *doppelboden.Message
	Size    int64 // of what Reader reads, in bytes

	open func() (io.ReadCloser, error)
}

// Reader reads the mail from its beginning; lines end in CRLF. It may be asked again and
// again, also by several goroutines, each of which closes what it got.
func (m *Mail) Reader() (io.ReadCloser, error) { return m.open() }

// errNotBuilt is what an unfinished method answers.
var errNotBuilt = &doppelboden.Error{Code: doppelboden.Temporary, Public: "not built yet"}

// Open opens a mail of this mailbox. The code is NotFound, or Policy with plain words for
// a mail that nobody may read yet.
func (b *Box) Open(ctx context.Context, id doppelboden.ID) (*Mail, error) {
	return nil, errNotBuilt
}

// Append puts a mail into a folder. It is there for Look when Append returns. Date is its
// INTERNALDATE; zero: now. Size is that of r, for limits; -1: unknown. Codes: NotFound,
// TooLarge, BadMessage, Busy, StorageFull.
func (b *Box) Append(ctx context.Context, folder int64, flags uint32, date time.Time, size int64, r io.Reader) (at store.Place, uid uint32, err error) {
	return store.Place{}, 0, errNotBuilt
}

// SaveDraft puts a draft into the folder of drafts and then removes the one that it
// replaces (old; 0: none).
func (b *Box) SaveDraft(ctx context.Context, old uint32, r io.Reader, size int64) (uid uint32, err error) {
	return 0, errNotBuilt
}

// An Outgoing is a mail that somebody sends from a mailbox.
type Outgoing struct {
	// Key names this sending, as NewKey made it: the same key never sends twice, whatever
	// becomes of pages, connections and nodes in between. Empty: it is not recognized.
	Key string
	// From is the reverse-path.
	From doppelboden.Address
	// MaySend reports in whose name the person may write; nil: only in that of the mailbox.
	MaySend func(doppelboden.Address) bool
	To      []intake.Recipient // all of them, blind ones too
	Size    int64              // of Body in bytes, for limits; -1: unknown
	Body    io.Reader          // the mail; Bcc stays in the copy of the sender alone
	Peer    string             // the client's IP address, or empty
	Door    string             // by which it came, such as "webmail"
	Ret     string             // RFC 3461, section 4.3
	EnvID   string             // RFC 3461, section 4.4

	Replaces *Draft  // the draft of it, which is removed; or nil
	Answers  *Source // the mail that it answers, which gets \Answered; or nil
	Forwards *Source // the mail that it forwards, which gets $Forwarded; or nil
}

// A Draft says where a draft lies in the mailbox.
type Draft struct {
	Folder int64
	UID    uint32
}

// A Source says where a mail lies in the mailbox.
type Source struct {
	Folder int64
	UID    uint32
}

// Sent says what became of an Outgoing.
type Sent struct {
	ID      doppelboden.ID
	Receipt doppelboden.Receipt
	Again   bool // it was sent before, by another call with the same key
}

// Send sends a mail: its deliveries and the copy in the folder of sent mail are kept in
// one commit. Then the draft goes and its source is marked; what fails of that is not told, for
// the mail is sent. Codes: Policy (an address that the person may not use, too many
// recipients within an hour), Busy, StorageFull, and those of intake.Transaction.
func (b *Box) Send(ctx context.Context, o Outgoing) (Sent, error) {
	return Sent{}, errNotBuilt
}

// NewKey returns a key for Outgoing.Key.
func (b *Box) NewKey() string { return "" }
