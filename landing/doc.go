// Package landing keeps what the doors accept before anything else happens with it: in a
// journal of its own on this machine, which depends on no database.
//
// It takes messages whose bodies segment has already taken. It promises that a message
// whose Accept returned nil is on the disk with its envelope and its ledger entry, that it
// comes into the working store however often that store or this process dies in between,
// and that the store gets what landed in the order of its links. What arrives at the same
// moment shares one link and one fsync. It never waits for the working store, never looks
// into it to find out what was accepted, and never removes what the store does not have.
//
// The journal is a log for each day (disk.Log): records of a commit each, with a checksum,
// its own place, and how far everything was surely on the disk when it was written. What a
// crash left beyond that was never acknowledged unless everything that it refers to is
// there; see recover.go.
package landing
