// Package sender knows the city's own senders: groupware, applications, devices.
//
// It takes the senders of the configuration and says who a client is: by its address, by
// its TLS certificate, or by user and password. It promises:
//
//   - A client is nobody unless something that it cannot choose freely says otherwise.
//   - A wrong password costs as much time for a user who does not exist as for one who
//     does.
//   - Guessing is slow: each address has few wrong tries, and all of them together use
//     few processors. Whoever knows a password that was right before gets in all the
//     same, so nobody can lock a sender out.
//   - Passwords are never kept: only their hashes on the disk (Argon2id), and in memory
//     a keyed sum of those that were right.
//
// It never decides what a sender may do, speaks no protocol, and writes no password into
// the log.
package sender
