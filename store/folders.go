package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Use is what a folder is for: RFC 6154, section 2.
type Use string

// The uses that folders of ours have.
const (
	UseNone    Use = ""
	UseInbox   Use = "inbox" // that of the folder with number 1, always
	UseSent    Use = "sent"
	UseDrafts  Use = "drafts"
	UseTrash   Use = "trash"
	UseJunk    Use = "junk"
	UseArchive Use = "archive"
)

// A Place is a folder of a mailbox.
type Place struct {
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	Folder  int64 // Folder.Number
}

// A Folder is what one folder of a mailbox says of itself.
type Folder struct {
	Place
	Name       string // doppelboden.Inbox, or a path with "/" between its parts; UTF-8 in NFC
	Use        Use
	Subscribed bool
	Validity   uint32 // UIDVALIDITY: RFC 9051, section 2.3.1.1; changes when UIDs may have been lost
	Next       uint32 // UIDNEXT
	Total      int64  // mails that are numbered and not hidden
	Unseen     int64  // those of them without Seen
	Fresh      int64  // mails that came since the last Look, not counted above
	Change     int64  // number of the last change within this mailbox that touched the folder

	// Of PutFolder alone: whether a new name was given here, so that the groupware still has
	// the mails in the folder under the old one, and when (zero: now). Without Deed the
	// groupware has renamed it.
	Deed bool
	At   time.Time
}

// A Shown is a mail as it lies in a folder.
type Shown struct {
	UID     uint32 // unique in its folder, given in the order in which mails came into it
	Message doppelboden.ID
	Seq     int64     // of the message's first delivery, or the like: grows as messages come
	Flags   uint32    // doppelboden.Seen and so on
	Date    time.Time // INTERNALDATE
	Size    int64     // of prefix and body, in bytes
	Scan    doppelboden.ScanState
	Change  int64 // number of the last change of this mail within the mailbox
}

// A ShownFilter selects mails of a folder; its zero value selects all that are not hidden.
type ShownFilter struct {
	UIDs     []uint32 // only these; empty: all
	From, To uint32   // only UIDs from From to To, both included; To 0: no bound
	After    int64    // only with a greater Change
	Message  doppelboden.ID
	Newest   bool // by falling UID, else by rising
	Limit    int  // 0: no bound
	Hidden   bool // with those that are hidden
}

// An Action is what a Change does.
type Action int

const (
	// ActFlag sets flags: (old &^ Clear) | Set.
	ActFlag Action = iota + 1
	// ActMove takes mails to another folder, where they get new UIDs.
	ActMove
	// ActCopy puts mails into another folder as well (or into the same one once more).
	ActCopy
	// ActRemove takes mails out of the mailbox.
	ActRemove
)

// A Change is what somebody does with mails of one folder. UIDs that are not there are
// passed over.
type Change struct {
	Place
	Action     Action
	UIDs       []uint32
	Set, Clear uint32 // of ActFlag
	To         int64  // of ActMove and ActCopy: number of the folder
	// Deed says that it was done here and has to be done in the groupware too, where the
	// mailbox has one. Without, the groupware has done it already: what changes is both how
	// the mail is here and how the groupware has it, and what people did to it besides goes
	// on being a deed.
	Deed bool
	At   time.Time
}

// A Changed is what a change did with one mail.
type Changed struct {
	UID    uint32 // before
	NewUID uint32 // of ActMove and ActCopy: in the other folder
	Flags  uint32 // afterwards
}

// A Spot is where and how a mail lies in a mailbox. One that is Hidden lies nowhere: it has
// no Spot, here as in the groupware.
type Spot struct {
	Folder string // its name
	Use    Use
	Flags  uint32 // without doppelboden.Hidden
}

// A Deed is the difference between a mail here and in the groupware that what people did
// here has made and that has not gone back yet.
type Deed struct {
	Number  int64 // names the mail in the mailbox for Returned; never reused
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	Message doppelboden.ID
	Was     *Spot     // as the groupware has it; nil: it has none
	Is      *Spot     // as it is here; nil: it was removed
	UID     uint32    // 0: nobody has looked yet, or it was removed
	Date    time.Time // INTERNALDATE
	Size    int64
	Change  int64 // grows with every change of the mailbox; of the last that touched the mail
	At      time.Time
}

// A Returned says that the groupware has a mail as Deed.Is was at Change. A nil Is says
// that it has none; that ends what is known of a mail that was removed here.
type Returned struct {
	Number int64
	Change int64
	Is     *Spot
}

// A DeedFilter selects deeds.
type DeedFilter struct {
	Tenant  doppelboden.TenantID  // 0: of every tenant
	Mailbox doppelboden.MailboxID // 0: of every mailbox
	Message doppelboden.ID        // zero: of every message
	After   int64                 // only with a greater Number
	Limit   int                   // 0: no bound
}

// A DeedCount says how much of what people did in a mailbox has not gone back.
type DeedCount struct {
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	Deeds   int64
	Oldest  time.Time // At of the oldest
}

// Folders is what mailboxes of ours show, and what people do in them. Mails come into
// folders with Accept, Drain and Settle (Message.Copies, where a folder that is missing is
// made; one named by FolderFor is that with this use). They have no UID until somebody looks.
type Folders interface {
	// Folders returns the folders of a mailbox by number. One that the directory has has at
	// least its inbox; otherwise there are none. It costs as much as there are folders and
	// mails at which nobody has looked.
	Folders(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) ([]Folder, error)

	// PutFolder makes a folder (Number 0), or changes Name, Use and Subscribed of one; its
	// name and use are unique in the mailbox, and the inbox keeps both. Folders below it
	// are renamed with it; what lies in them becomes deeds when f.Deed says so. The rest of
	// f is ignored. NotFound, or Invalid with what is wrong with the name.
	PutFolder(ctx context.Context, f Folder) (Folder, error)

	// DropFolder removes a folder, and what lies in it as ActRemove does, but not the folders
	// below it. Another one that gets its name later has another Validity, and no number is
	// given twice. The inbox: Invalid; a folder that is not there is passed over.
	DropFolder(ctx context.Context, at Place, deed bool, when time.Time) error

	// Look numbers what came into a folder since the last look, in the order in which it
	// came, and returns the folder as it is then. Two looks at the same moment number
	// nothing twice. Where nothing is new it only reads. NotFound.
	Look(ctx context.Context, at Place) (Folder, error)

	// Shown yields mails of a folder that were numbered. An unknown folder has none.
	Shown(ctx context.Context, at Place, f ShownFilter, yield func(Shown) error) error

	// Change carries out changes in one mailbox in their order, in one commit. The result
	// has for each change what became of the mails that were there, by their UID. Only what
	// was numbered can be changed. A mail that is moved to the folder in which it lies gets
	// another UID. Codes: NotFound (a folder), Invalid. It is not to be repeated blindly:
	// what was copied would be copied once more.
	Change(ctx context.Context, list []Change) ([][]Changed, error)

	// Deeds yields what f selects, by Number. A mail whose Was and Is have the same folder
	// and flags again has none. Copies that came with Copy.New have no Was. No message that
	// has deeds is removed by Expire.
	Deeds(ctx context.Context, f DeedFilter, yield func(Deed) error) error

	// DeedCounts returns for every mailbox that has deeds how many, at the cost of reading
	// an index.
	DeedCounts(ctx context.Context) ([]DeedCount, error)

	// Returned makes Is the Was of mails; what was changed after Change goes on being a
	// deed, also when it is as it was before. lease is as in Queue.Settle. Unknown numbers
	// are passed over, and so is what says less than what is known already.
	Returned(ctx context.Context, lease Lease, list []Returned) error

	// Renumber gives all folders of all mailboxes (tenant 0), or of a tenant's, another
	// Validity: UIDs that were told to clients may have been lost with a database.
	Renumber(ctx context.Context, t doppelboden.TenantID) error
}
