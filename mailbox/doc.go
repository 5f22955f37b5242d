// Package mailbox looks into the mailboxes of a city's groupware: it reads back what the
// groupware said it took, and hands over again what it lost.
//
// It takes a Backend for each route that has one, and what was handed over from the store.
// It gives back sightings, alarms, and deliveries that are opened again. It promises:
//
//   - A delivery is confirmed only after our own Received line was seen in the mailbox.
//   - What is there is never handed over a second time by a replay that can look.
//   - Reading changes nothing: no flag, no \Recent, no folder.
//   - A groupware that is slow, or has a backlog to take, is left alone.
//   - Its memory does not grow with the number of mails.
//
// What a groupware answers is hostile: every answer is bounded in size and time.
//
// It never hands over mail itself (that is for queue and its agents), never deletes
// anything in a mailbox, never creates a message, and never reads a body.
package mailbox
