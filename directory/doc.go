// Package directory reads who exists from a city's LDAP directory: OpenLDAP and what
// resembles it, and Active Directory.
//
// It takes one source of city.toml and gives back mailboxes and distribution lists as
// the directory has them (Read, Compose), and what would change against what is known
// (Compare). A Refresher does this again and again, keeps the result in the store and
// has the doors use it. It promises:
//
//   - A list is whole or it is an error. A connection that breaks, a limit of the
//     server, a referral, an answer without its end: each is an error, and after an error
//     nothing is changed.
//   - A list that would remove more than a set share is not used until a person says so.
//   - What the server sends is bounded: in bytes, in entries, in depth and in time. A
//     server that is slow, broken or hostile costs one goroutine and some memory, and
//     never the node.
//   - Doors never wait for it. They use what was read last, however old.
//
// It never asks the directory for a single recipient, never builds a filter or a name
// from anything that came with a mail, and never prints a password.
package directory
