package doppelboden

import "time"

// An EntryKind says what an Entry of the ledger records.
type EntryKind byte

const (
	// EntryAccepted: a message came into being, with its deliveries.
	EntryAccepted EntryKind = 1
	// EntrySettled: a delivery went into a state.
	EntrySettled EntryKind = 2
	// EntryRead: somebody exported content.
	EntryRead EntryKind = 3
	// EntryConfig: a version of the city's configuration was applied, or a key changed.
	EntryConfig EntryKind = 4
	// EntryExpired: retention removed a message whose deliveries had all ended.
	EntryExpired EntryKind = 5
)

// An Entry is one fact in the ledger. It names no person: a mailbox is a number.
type Entry struct {
	Kind    EntryKind
	At      time.Time // microseconds are kept
	Tenant  TenantID
	Message ID // zero for EntryConfig

	// For EntryAccepted.
	Recipients int      // what the door counted
	Deliveries int      // what came into being
	Expanded   int      // see Message
	Merged     int      // see Message
	Generated  bool     // a DSN or notice of ours, not something that came in
	Sum        [32]byte // SHA-256 of the body
	Here       []int    // the N of deliveries that were delivered by Accept (route "here")

	// For EntrySettled.
	N     int
	State State
	By    string // "courier", or who decided

	// For EntryRead and EntryConfig: one line.
	Note string
}

// A Link ties the entries of one commit to all earlier commits of the same writer.
type Link struct {
	Chain   string   // names the writer: node and run
	Number  int64    // from 1, without gaps
	Prev    [32]byte // Hash of the link before; zero for number 1
	Root    [32]byte // over the salted hashes of the entries
	Hash    [32]byte // over chain, number, time, previous hash and root
	At      time.Time
	Entries []byte // the entries with their salt, as package ledger encodes them; nil once expired
}

// A Knot ties the heads of all chains together and is signed.
type Knot struct {
	Number    int64
	At        time.Time
	Heads     []Head   // sorted by Chain; of all chains in the first knot of a run and of a day, else of those that moved
	Prev      [32]byte // Hash of the knot before
	Hash      [32]byte
	Signature []byte // Ed25519 over Hash
}

// A Head is the last link of a chain.
type Head struct {
	Chain  string
	Number int64
	Hash   [32]byte
}

// A Balance is the balance sheet of a period. Its unit is the delivery.
// Accepted = Confirmed + Delivered + Queued + Held + Bounced + Discarded + Difference.
type Balance struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`

	Accepted  int64 `json:"accepted"`
	Confirmed int64 `json:"confirmed"`
	Delivered int64 `json:"delivered"`
	Queued    int64 `json:"queued"`
	Held      int64 `json:"held"`
	Bounced   int64 `json:"bounced"`
	Discarded int64 `json:"discarded"`

	// Difference is 0, or something is wrong: see Findings.
	Difference int64 `json:"difference"`

	Acknowledged   int64 `json:"acknowledged"`   // recipients of messages whose 250 was written
	Expanded       int64 `json:"expanded"`       // deliveries more than recipients (lists)
	Merged         int64 `json:"merged"`         // deliveries fewer than recipients (aliases)
	Unacknowledged int64 `json:"unacknowledged"` // deliveries kept although the 250 did not arrive, or nobody knows
	InDoubt        int64 `json:"in_doubt"`       // attempts whose final dot was sent and whose answer is unknown
	Generated      int64 `json:"generated"`      // deliveries of our own DSNs and notices
	Replayed       int64 `json:"replayed"`       // deliveries opened again
	Duplicates     int64 `json:"duplicates"`     // positive answers beyond the first for one delivery

	// Findings names what makes the difference, at most 100.
	Findings []Finding `json:"findings,omitempty"`
}

// A Finding is one delivery or message about which the three counts disagree.
type Finding struct {
	Message ID     `json:"message"`
	N       int    `json:"n"` // -1 when it is about the whole message
	What    string `json:"what"`
}
