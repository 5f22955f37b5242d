// Package absence answers mail for people who are away, while their mailboxes are used here
// (RFC 3834).
//
// It takes what people set for a mailbox (Setting) and what was drained into the database,
// and has intake make the answers. It promises:
//
//   - An answer goes only to a sender that SPF, DMARC or a log-in confirmed (promise 12),
//     never to a machine or a list, and only for mail that names one of the mailbox's
//     addresses.
//   - A sender gets one answer of a mailbox in seven days. That is on the disk before the
//     answer is made: in doubt there is none.
//   - Acceptance never waits for it.
//
// It never answers for a mailbox that the groupware serves, which answers itself, and never
// mail that came before the absence was set.
package absence
