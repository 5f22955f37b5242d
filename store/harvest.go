package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Harvest is a mail as it lies in a mailbox of the groupware, and the message of ours
// that it is.
type Harvest struct {
	Tenant   doppelboden.TenantID
	Mailbox  doppelboden.MailboxID
	Folder   string // as the groupware calls it, with "/" between its parts
	Validity uint32 // UIDVALIDITY of the folder: RFC 9051, section 2.3.1.1
	UID      uint32
	Message  doppelboden.ID
	Flags    uint32    // doppelboden.Seen and so on, as the groupware said last
	Gone     time.Time // since when the groupware does not have it there any more; zero while it has
}

// A HarvestFolder is how far a folder of a groupware's mailbox was read. Mails with UIDs
// from Low (included) up to Next (excluded) have a Harvest; what is below Low is still to be
// read unless Filled.
type HarvestFolder struct {
	Tenant   doppelboden.TenantID
	Mailbox  doppelboden.MailboxID
	Name     string    // as the groupware calls it, with "/" between its parts
	Use      Use       // RFC 6154, as the groupware says
	Ours     int64     // Folder.Number of the folder of ours that shows its mails; 0: none yet
	Validity uint32    // UIDVALIDITY
	Next     uint32    // the UID from which on nothing was read
	Low      uint32    // the UID from which on everything was read
	Filled   bool      // all mails of the window were read
	ModSeq   uint64    // HIGHESTMODSEQ up to which changes were followed (RFC 7162); 0: the server has none
	Exists   uint32    // how many mails lay in it at the last look
	Flags    time.Time // when the flags of all mails were last compared
	Since    time.Time // mails that came since then are all there, once it is Filled
	At       time.Time // when it was last read to its end; zero: never
	Gone     bool      // the groupware does not list it any more
}

// A HarvestBox is how far a groupware's mailbox was read.
type HarvestBox struct {
	Tenant   doppelboden.TenantID
	Mailbox  doppelboden.MailboxID
	Began    time.Time // when the look began after which At was the time
	At       time.Time // when all its folders were last read to their ends; zero: never
	Trouble  string    // why it could not be read at the last try; "": it could. Hostile text
	Tried    time.Time // when that was
	Vanished int64     // so many mails vanished at once that nothing is hidden before a person says so
	Confirm  bool      // a person said so
	// Restored says that the groupware was restored from a backup or set up anew: what it has not
	// had since then, or before, is hidden only when a person says so. Zero: it lacks nothing.
	Restored time.Time
}

// A HarvestMark is a keyed sum over what one mail has in common with itself however it comes.
type HarvestMark struct {
	Tenant  doppelboden.TenantID
	Sum     [16]byte
	Message doppelboden.ID
}

// A HarvestBatch is what one commit notes of one mailbox.
type HarvestBatch struct {
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	Box     *HarvestBox     // replaces what is known of the mailbox but for Confirm; nil: that stays
	Confirm *bool           // replaces Confirm of the mailbox: a person may say so during a look; nil: that stays
	Folders []HarvestFolder // replace what is known of the folders with these names
	// Mails replace what is known by Folder, Validity and UID. A folder that nothing is known
	// of becomes known by its name. Mails whose Message is not there are passed over.
	Mails []Harvest
	Ended []Harvest // by Folder, Validity and UID: nothing is known of them any more
	// Copies come to lie in the mailbox. Of a message that already lies in the folder, and of
	// one that is not there, nothing is added. Mailbox is that of the batch.
	Copies []doppelboden.Copy
	Marks  []HarvestMark // of messages that are there
}

// A HarvestFilter selects what is known of the groupware's mails; its zero value selects
// nothing, for Tenant and Mailbox must be set.
type HarvestFilter struct {
	Tenant   doppelboden.TenantID
	Mailbox  doppelboden.MailboxID
	Message  doppelboden.ID // zero: of every message
	Folder   string         // "": in every folder
	Validity uint32         // with a Folder: only mails under this UIDVALIDITY; 0: under each
	From, To uint32         // with a Folder: only UIDs from From to To, both included; To 0: no bound
	Gone     bool           // only those that are gone; else all
	Limit    int            // 0: no bound
}

// An Unmarked is a message of which no marks were made yet.
type Unmarked struct {
	Number  int64                // grows in the order of commits
	Message *doppelboden.Message // without Deliveries and Copies
}

// A Marking says how far a tenant's messages have their marks, and what was seen on the way.
type Marking struct {
	Number     int64  // messages up to this Number have their marks
	Key        []byte // of the sums, wrapped by the tenant's key; nil: none was made yet
	KeyVersion int    // the version of the tenant's key that wraps it
	// When the first and the last mail came by journal reports, and by a groupware that sends
	// its internal mail through us; zero: none yet.
	JournalFirst, JournalLast time.Time
	HairpinFirst, HairpinLast time.Time
}

// Harvests is what is known of the groupware's mailboxes from reading them.
type Harvests interface {
	// Harvest writes batches in one commit. lease is as in Queue.Settle.
	Harvest(ctx context.Context, lease Lease, list []HarvestBatch) error

	// Harvested yields what f selects, by folder, validity and UID.
	Harvested(ctx context.Context, f HarvestFilter, yield func(Harvest) error) error

	// HarvestFolders returns the folders of a groupware's mailbox that are known, by name.
	HarvestFolders(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) ([]HarvestFolder, error)

	// AllHarvestFolders yields the folders of all of a tenant's mailboxes that are known, by
	// mailbox and name.
	AllHarvestFolders(ctx context.Context, t doppelboden.TenantID, yield func(HarvestFolder) error) error

	// HarvestBoxes yields the mailboxes of a tenant of which anything is known, by number.
	HarvestBoxes(ctx context.Context, t doppelboden.TenantID, yield func(HarvestBox) error) error

	// HarvestBox returns what is known of one mailbox; nothing is known: only its numbers.
	HarvestBox(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (HarvestBox, error)

	// Marked returns the marks of a tenant with one of the sums, of messages that are there.
	Marked(ctx context.Context, t doppelboden.TenantID, sums [][16]byte) ([]HarvestMark, error)

	// Unmarked returns messages of a tenant with a greater Number than after, in that order,
	// at most limit of them. All of the tenant's up to end are among them; when end is after,
	// there are no more.
	Unmarked(ctx context.Context, t doppelboden.TenantID, after int64, limit int) (list []Unmarked, end int64, err error)

	// Marking returns how far a tenant's messages have their marks, and PutMarking replaces it
	// and adds marks of messages that are there, in one commit.
	Marking(ctx context.Context, t doppelboden.TenantID) (Marking, error)
	PutMarking(ctx context.Context, lease Lease, t doppelboden.TenantID, m Marking, marks []HarvestMark) error

	// CopiesOf returns where messages lie in a mailbox: their copies there, those that have
	// no row yet too.
	CopiesOf(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, ids []doppelboden.ID) ([]doppelboden.Copy, error)
}
