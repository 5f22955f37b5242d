// Package ledger proves what became of every message: hash chains over the facts that
// the store commits, signed knots that tie the chains together and are carried away,
// and the balance sheet from three independent counts.
//
// It takes entries from the store's commits, what the doors and couriers logged, and
// the delivery rows. It promises that a change, a gap, a reordering or a truncation of
// what a knot has tied is found by Verify, and that a delivery about which the three
// counts disagree is found by Balance. What it cannot know it says: an unreadable log
// never looks like a difference of 0.
//
// It never decides anything about mail, never writes rows or logs, never repairs what
// it finds, and keeps no text that names a person. The links after the last knot can be
// cut off without a trace; every report says how many these are.
package ledger
