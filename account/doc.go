// Package account knows who the people are and lets them in without the city's directory
// of log-ins.
//
// A person is the owner of a mailbox of the kind person: its number is hers, so that she
// keeps her credentials under a new address, and a namesake who comes later is somebody
// else. It takes log-ins from doors and answers who it is and whose mailboxes she may
// open. It promises:
//
//   - Whoever is not let in hears the same for every reason, after the same number of
//     computed hashes.
//   - Passwords and codes are kept as Argon2id or as keyed sums of random secrets; nothing
//     that could be shown to somebody is kept in clear, besides the public halves of
//     passkeys. Seeds of one-time passwords are sealed with the tenant's key.
//   - A code enrols once, and a one-time password lets in once.
//   - Nobody can lock somebody else out: what was wrong counts against a network and a
//     person together, and a device that was let in before has an allowance of its own.
//   - Few passwords are hashed at once, so that 20,000 log-ins cannot stop the mail.
//   - Who has left the directory is nobody, at once.
//
// It never reads mail, never says when somebody logged in, and speaks no protocol.
package account
