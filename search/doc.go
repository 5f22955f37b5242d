// Package search finds mails, and says in short what lists show of them.
//
// It takes places (folders of mailboxes) and what somebody looks for, and yields hits, the
// newest first, as it finds them. It reads extracts: of every message its summary and its
// text, sealed with a key that is derived from that of the body, so that nothing is left
// to read when the message is gone. Worker makes them after acceptance, and steps aside
// for it; what has none yet is read from the mail itself. It never decides who may look.
package search
