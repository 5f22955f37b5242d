// Package event knows how mailboxes and routes are, and keeps the story of each outage.
//
// It takes what the queue reports of each transaction (Report), what probes of idle routes
// find, and what people say. From that alone it decides, mailbox by mailbox, who is in an
// outage. It promises:
//
//   - No event without evidence: answers that were given to us, or a person's word.
//   - A mailbox is in at most one open outage. One for which nothing came is unknown, not
//     well, and nobody counts it among those that are refused.
//   - What begins an outage is more than what ends it is less: thresholds for in and out
//     differ, one greylisted mail or one full mailbox is no outage, and a groupware that
//     falls again goes on with the same event.
//   - The end is declared by mail that was taken, never by a connection that opens. Where
//     none waits that could be, and the groupware answers, a letter of ours goes out (Trial).
//   - A route without mail is asked now and then, so that its death is known within 30
//     seconds also at night.
//   - Events are durable and go on after a restart. When the database does not write, they
//     go on in memory and are written later.
//
// It never decides about mail, never asks the groupware for anything but a greeting, never
// writes a letter while mail waits that could show the same, and Report never blocks.
package event
