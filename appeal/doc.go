// Package appeal looks after mail that the city's own groupware refused: it has it tried
// again, and returns it only when everything says the same (promise 3).
//
// It takes from the queue what next servers took and refused, and gives back two orders:
// try these again, return those. It promises:
//
//   - What was refused is tried again until it is taken, returned or decided about by a
//     person: after ten minutes, then every hour, then every four; at once when the route
//     takes mail again after a time in which it didn't, or when its mailbox does.
//   - Of what was refused with the same words on the same route, one goes first. When it is
//     refused too, the others wait; when it is taken, they follow in waves that grow as
//     long as they are taken. The mail of one mailbox goes in its order.
//   - A mail is returned by itself only when its mailbox was refused, and then other
//     mailboxes of the same route took mail, and a directory that was read as a whole did
//     not list the address, and then the mailbox was refused once more.
//   - Nothing else that is held is touched, and nothing is forgotten: what waits for a
//     person says so.
//
// It keeps nothing on the disk: after a restart it begins with one trial of each group.
// Its memory grows with the mailboxes whose mail was refused, not with the mails. It never
// writes a state itself, and never speaks to a next server.
package appeal
