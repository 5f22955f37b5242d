package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Credential is something by which a person is known: a password, a code, a passkey. What
// its fields hold is for package account to say.
type Credential struct {
	ID         int64 // given by the store
	Tenant     doppelboden.TenantID
	Person     doppelboden.MailboxID // whose mailbox; 0: the tenant's own
	Kind       string
	Label      string // what people call it; may be empty
	Lookup     []byte // by which it is found; unique within the installation, nil for none
	Data       []byte
	KeyVersion int       // of the tenant's key that seals Data; 0: it is not sealed
	Counter    int64     // only grows: the last one-time password, the sign count of a passkey
	Made       time.Time // when
	Until      time.Time // when it ends by itself; zero: never. Readers look at it, the store does not
	By         string    // who made it
	Ended      time.Time // when it was spent, revoked or replaced; zero: it is live
	Why        string    // which of those; "" while it is live
}

// A CredentialFilter selects credentials; its zero value selects all.
type CredentialFilter struct {
	Tenant     doppelboden.TenantID  // 0: of every tenant
	Person     doppelboden.MailboxID // 0: of everybody
	Kinds      []string              // empty: of every kind
	Lookup     []byte                // nil: whatever it is
	KeyVersion int                   // 0: whatever it is
	Live       bool                  // only those that have not ended
	ID         int64                 // 0: every one
}

// A CredentialEnd ends live credentials: one by its ID, or those of Tenant, Person and
// Kinds, where Person 0 means everybody.
type CredentialEnd struct {
	ID     int64
	Tenant doppelboden.TenantID
	Person doppelboden.MailboxID
	Kinds  []string
	Why    string
	At     time.Time
}

// A CredentialChange is carried out as a whole, in the order of its fields.
type CredentialChange struct {
	// Session is the hash of a session that must be there, whose holder makes the change; nil:
	// nobody's. So who ends it first has ended all that it could still bring about.
	Session []byte

	// Spend is a credential that must be live, and ends as "spent"; 0: none. Token names
	// this call, so that repeating it is not spending twice.
	Spend int64
	Token []byte
	At    time.Time

	End []CredentialEnd
	Put []Credential // new ones; where Lookup is there already nothing is added
}

// A LoggedIn is somebody's session.
type LoggedIn struct {
	Hash   []byte // SHA-256 of what the client holds
	Tenant doppelboden.TenantID
	Person doppelboden.MailboxID
	Needs  string    // what is still to be shown
	Source string    // how she came in
	Second bool      // with a second factor
	Code   int64     // the credential that a session to enrol spends; 0: none
	State  []byte    // what a step in progress remembers
	Made   time.Time // when it began
	Seen   time.Time // when it was last used, roughly
	Until  time.Time // when it ends whatever happens
}

// A SessionFilter selects sessions to be ended. At least one field must be set.
type SessionFilter struct {
	Hash   []byte                // this one
	Tenant doppelboden.TenantID  // those of a tenant
	Person doppelboden.MailboxID // those of a person
	Source string                // those that came so
	Except []byte                // but not this one
	Seen   time.Time             // those that were last used before
	Before time.Time             // those whose Until is not after it
}

// A Belonging lets a person open a mailbox that is not hers.
type Belonging struct {
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	Person  doppelboden.MailboxID
	Kind    string    // "function" or "deputy"
	Until   time.Time // when it ends; zero: never
	By      string    // who said so
	At      time.Time
}

// A Role is what a person may do for others.
type Role struct {
	Tenant     doppelboden.TenantID
	Person     doppelboden.MailboxID
	Name       string // such as "head"
	Department string // of which; "" for roles that know none
	By         string
	At         time.Time
}

// A Memo is a time that is remembered for a mailbox, or for a tenant (Mailbox 0).
type Memo struct {
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	What    string
	At      time.Time
}

// Accounts holds how people are known without the city's directory.
type Accounts interface {
	// Credentials yields what f selects, by ID.
	Credentials(ctx context.Context, f CredentialFilter, yield func(Credential) error) error

	// ChangeCredentials carries out a change in one commit and returns how many credentials
	// it ended, besides the spent one. The code is Policy, and nothing is written, when
	// Spend is not live and was not ended by the same Token, and NotFound when Session is
	// not there.
	ChangeCredentials(ctx context.Context, c CredentialChange) (ended int, err error)

	// Advance makes to the Counter of a live credential if it is greater, and says whether
	// it was. It is not to be repeated: who does not know how it ended must take a new one.
	Advance(ctx context.Context, id, to int64) (bool, error)

	// Reseal replaces Data and KeyVersion of credentials, by ID, where the version is still
	// from. DeleteTenantKey is refused while a credential is sealed with the version.
	Reseal(ctx context.Context, from int, list []Credential) error

	// PutSession begins a session (replaces is nil), or lets the one with the hash replaces go
	// on, under the same hash or under another one: who has got more rights gets another
	// cookie. NotFound, and nothing is written, when that one has ended meanwhile: what
	// somebody ended must not come back. It may be repeated.
	PutSession(ctx context.Context, s LoggedIn, replaces []byte) error

	// SessionOf returns a session by its hash. NotFound.
	SessionOf(ctx context.Context, hash []byte) (LoggedIn, error)

	// EndSessions removes sessions and returns how many. The code is Invalid for a filter
	// that would remove all.
	EndSessions(ctx context.Context, f SessionFilter) (int, error)

	// PutBelongings adds who may open mailboxes, or changes until when.
	PutBelongings(ctx context.Context, list []Belonging) error

	// DropBelongings takes the right to open mailboxes from people, by Mailbox, Person and
	// Kind. Unknown ones are passed over.
	DropBelongings(ctx context.Context, list []Belonging) error

	// Belongings yields them by mailbox and person: those of a person, those of a mailbox,
	// or, with 0 for both, all.
	Belongings(ctx context.Context, person, mailbox doppelboden.MailboxID, yield func(Belonging) error) error

	// PutRole gives a person a role; DropRole takes it from her.
	PutRole(ctx context.Context, r Role) error
	DropRole(ctx context.Context, r Role) error

	// Roles yields the roles of a person, or of everybody (0), by tenant, person and name.
	Roles(ctx context.Context, person doppelboden.MailboxID, yield func(Role) error) error

	// PutMemos remembers times; those that are there are replaced.
	PutMemos(ctx context.Context, list []Memo) error

	// DropMemos forgets the memos of a tenant with one meaning.
	DropMemos(ctx context.Context, tenant doppelboden.TenantID, what string) error

	// Memos yields the memos with one meaning, by tenant and mailbox; tenant 0: of all.
	Memos(ctx context.Context, tenant doppelboden.TenantID, what string, yield func(Memo) error) error
}
