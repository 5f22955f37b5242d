// Package control is the door for the commands of the people who run a node: HTTP and
// JSON over a unix socket in the data folder.
//
// It takes requests of users whom the folder's mode lets in, and asks the store, the
// queue and the ledger of the running node. It promises that every change is made under
// the name of the unix user at the other end (SO_PEERCRED), that a list or a file of
// configuration is taken as a whole or not at all, and that a long answer costs no
// memory. It never shows a body or a subject, never listens on a network, and never
// removes the socket of a node that lives.
//
// A Desk knows the answers; a Server carries them; a Client asks. Every answer is a
// series of JSON objects, one a line: any number of {"item":…} and {"progress":…}, then
// one {"result":…} or {"error":…}.
package control
