package account

import (
	"net/netip"
	"time"

	"doppelboden"
)

// A PersonID numbers a person: it is the number of her mailbox.
type PersonID int64

// A Person is somebody who can log in.
type Person struct {
	ID         PersonID
	Tenant     doppelboden.TenantID
	Mailbox    doppelboden.MailboxID
	Address    doppelboden.Address
	Name       string // for people; may be empty
	Department string // may be empty
	Language   string // "de" or "en": what the city writes to her
}

// Kinds of grants.
const (
	GrantOwn      = "own"      // the person's mailbox
	GrantFunction = "function" // a mailbox that belongs to several people
	GrantDeputy   = "deputy"   // a colleague's
)

// A Grant lets a person open a mailbox, and write in its name.
type Grant struct {
	Mailbox doppelboden.MailboxID
	Address doppelboden.Address
	Name    string
	Kind    string    // GrantOwn, GrantFunction or GrantDeputy
	Until   time.Time // when it ends; zero: never
}

// Doors that people come through.
const (
	DoorWeb        = "web"
	DoorIMAP       = "imap"
	DoorSubmission = "submission"
)

// An Attempt is somebody who wants to be let in.
type Attempt struct {
	Door     string // DoorWeb, DoorIMAP or DoorSubmission
	Peer     netip.Addr
	Agent    string // what the client calls itself; hostile
	Device   string // web: the cookie Login.Device of an earlier log-in, or ""
	User     string // an address of hers; empty with a code
	Password string // or a code of a sheet (web), or an app password (the other doors)
}

// Steps that a session may still need before it opens a mailbox.
const (
	NeedsNothing  = ""
	NeedsTOTP     = "totp"     // a one-time password
	NeedsPasskey  = "passkey"  // a passkey
	NeedsEnrol    = "enrol"    // a code was shown: a password or a passkey must be set
	NeedsPassword = "password" // the password must be changed
	NeedsSecond   = "second"   // the tenant wants a second factor, and she has none yet
)

// A Login is what a good attempt gets.
type Login struct {
	Person  Person
	Session string // the cookie's value; "" for DoorIMAP and DoorSubmission
	Device  string // a cookie that says that this device was let in; "" for those doors
	Needs   string // the next step
	Way     int64  // for the other doors: what let the program in; see Room.Still
}

// A Session is somebody who is logged in.
type Session struct {
	Person Person
	Needs  string    // the next step; only with NeedsNothing may a mailbox be opened
	Second bool      // she showed a second factor, or a passkey
	Until  time.Time // when it ends whatever she does
	Tenant doppelboden.TenantID
}
