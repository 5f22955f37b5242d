package doppelboden

// An Ending is a delivery that is about to end, and of which its sender may have to be
// told. Queue makes them, and intake decides what the sender gets.
type Ending struct {
	Message  *Message // without Deliveries and Copies
	Delivery Delivery
	How      How
	Reply    Reply  // the next server's last words; without a Code they are ours
	Server   string // host:port that said so, or empty
	Why      string // of Returned: the reason that a person gave, one line

	// Settlement is what would be written if nobody had to be told.
	Settlement Settlement
}

// How says how a delivery ends.
type How int

const (
	// Rejected: the next server said a clear no about this recipient or message.
	Rejected How = iota + 1
	// Overaged: the age limit of the Internet was reached.
	Overaged
	// Returned: a person had it sent back to its sender.
	Returned
	// Relayed: the next server took it and does not tell the sender (it has no DSN
	// extension).
	Relayed
	// Arrived: it lies in the recipient's mailbox.
	Arrived
)

// String returns the name of how, as logs and metrics use it.
func (h How) String() string {
	return [...]string{"unknown", "rejected", "expired", "returned", "relayed", "arrived"}[h]
}

// Success reports whether the recipient's side has the mail.
func (h How) Success() bool { return h == Relayed || h == Arrived }
