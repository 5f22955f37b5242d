package public

import "doppelboden"

// A State is what a sender may know of a mail.
type State string

// The states that a mail can be in for its sender.
const (
	// Kept: the city has it, and somebody may be able to read it already; it is not in all
	// the mailboxes yet that it is for.
	Kept State = "kept"
	// Arrived: it is in the mailboxes that it is for.
	Arrived State = "arrived"
	// Returned: it could not be put into a mailbox, and the sender was told or will be.
	Returned State = "returned"
	// Unknown: there is no such number, or not any more.
	Unknown State = "unknown"
)

// stateOf joins the states of all recipients into one. What is bad for one of them is what
// the sender must know.
func stateOf(m *doppelboden.Message) State {
	state := Arrived
	for i := range m.Deliveries {
		switch m.Deliveries[i].State {
		case doppelboden.Bounced, doppelboden.Discarded:
			return Returned
		case doppelboden.Queued, doppelboden.Held:
			state = Kept
		}
	}
	return state
}
