// Package doppelboden holds the words that every other package uses: what a tenant,
// a mailbox, a message, a delivery and an outcome are, and the one error type that
// may reach a peer.
//
// It does no I/O, starts nothing, and imports nothing of this module. A type stands
// here when at least two rooms need it; what only one room needs stands there.
package doppelboden
