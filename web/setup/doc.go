// Package setup tells mail programs how to reach the emergency mailboxes, so that nobody has
// to type names of servers: Thunderbird's autoconfiguration, Outlook's autodiscover (POX),
// and a configuration profile for Apple's programs. One page makes a password for a program
// and offers all of it, with a QR code for the telephone.
//
// It takes the node's names and ports. It promises: who asks without a session learns
// nothing but these, and for an address that nobody has the same as for one that somebody
// has; a password that was made is shown once, and its profile can be fetched for ten
// minutes by a link that nobody can guess; what strangers send is read with bounds and
// never repeated.
//
// It never decides who may log in, and keeps no password.
package setup
