// Package queue is the only scheduler: it knows what is due, in which order, and how
// much at once.
//
// It takes new messages from intake (Notify) and what waits from the store, gives jobs
// to agents of package courier, and writes what came of them with Settle. It promises:
//
//   - Within a mailbox mail is handed over first in, first out, with one transaction in
//     flight. Held mail is stepped over, and so are a few mails that alone are refused
//     for the time being.
//   - Between mailboxes the priority decides, then age; new mail and backlog take turns.
//   - Mail that has waited for long goes straight into its mailbox where its lane can do
//     that (Filer), in runs of one mailbox's mails; neither way stops the other.
//   - A mailbox has its next turn only after the settlement of the last is durable.
//   - A 5xx of a city's own groupware is held first (promise 3), and Appeals is told of it;
//     see package appeal.
//   - Its memory grows with the number of mailboxes that have mail waiting, not with
//     the number of mails.
//
// It never creates messages, never reads a body, and never speaks to a next server.
package queue
