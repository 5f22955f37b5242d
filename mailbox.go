package doppelboden

import "time"

// A TenantID numbers a tenant within one installation; 0 is no tenant.
type TenantID int64

// A Tenant is one administration that uses this installation. Nothing of one tenant is
// visible to another, and a message belongs to exactly one.
type Tenant struct {
	ID   TenantID
	Name string // short, from city.toml: lower-case letters, digits and hyphens
}

// A MailboxID numbers a mailbox within one installation; 0 is no mailbox of ours.
type MailboxID int64

// A BoxID numbers what the queue keeps in order. That of a mailbox on its own route is
// the mailbox's number; negative ones stand for a Destination; 0 is none.
type BoxID int64

// A Destination is where else mail goes: another route that a mailbox's mail also goes
// to, or a domain of the Internet.
type Destination struct {
	ID      BoxID // negative, given by the store
	Tenant  TenantID
	Mailbox MailboxID // whose mail it is; 0 for the Internet
	Route   string    // the name of the route within the tenant; "" for the Internet
	Domain  string    // of the Internet: in lower case with A-labels
}

// A Mailbox is an address of the city at which mail can be received: a mailbox, or a
// distribution list, whose mail goes to its members and never to itself.
type Mailbox struct {
	ID         MailboxID
	Tenant     TenantID
	Address    Address
	Name       string      // for people; may be empty
	Kind       MailboxKind // person or function
	Department string      // may be empty
	Building   string      // where its people work; may be empty
	Phone      Phone       // a mobile telephone, for SMS in an emergency; may be empty
	Priority   int         // 0 to 9; 9 is handed over first (crisis team), 5 is the default
	Aliases    []Address   // other addresses of the same mailbox
	Members    []Address   // of a List, or the people to whom a Function belongs; they may be ours, other lists, or somebody outside
	Closed     bool        // of a List: it takes no mail from strangers
	Source     string      // the directory that lists it ("ad"), or "" when people do
	External   string      // what the source calls it, whatever its address; may be empty
	Gone       time.Time   // since when nobody lists it any more; zero while somebody does
}

// DefaultPriority is the priority of a mailbox that nobody has ranked.
const DefaultPriority = 5

// A MailboxKind tells a person's mailbox from one that several people share, and both
// from a list.
type MailboxKind string

const (
	// Person is a mailbox that belongs to one person.
	Person MailboxKind = "person"
	// Function is a mailbox such as buergerbuero@ that belongs to several people.
	Function MailboxKind = "function"
	// List is a distribution list.
	List MailboxKind = "list"
)

// Inbox is the name of the folder that every mailbox has: RFC 9051, section 5.1.
const Inbox = "INBOX"

// A Copy is a message as it lies in a folder of a mailbox. It points to the message's
// body; it holds none of its own.
type Copy struct {
	Mailbox MailboxID
	Folder  string    // Inbox, a path with "/" between its parts, or, of a new message, store.FolderFor
	Message ID        // whose body it shows
	UID     uint32    // 0 until somebody first looks into the folder
	Flags   uint32    // Seen, Answered and so on
	Date    time.Time // internal date: when we accepted the message
	New     bool      // it was made here, so that the groupware does not have it yet
}

// Flags of a Copy: RFC 9051, section 2.3.2, and keywords of its registry. There are no
// others. Databases keep the numbers.
const (
	Seen uint32 = 1 << iota
	Answered
	Flagged
	Draft
	Deleted   // to be removed by EXPUNGE
	Forwarded // $Forwarded
	MDNSent   // $MDNSent
	Junk      // $Junk
	NotJunk   // $NotJunk
	Label1    // $label1 to $label5: what Thunderbird calls tags
	Label2
	Label3
	Label4
	Label5

	// Hidden: it was deleted in the groupware, and is only shown to who asks for such mail.
	Hidden uint32 = 1 << 31
)
