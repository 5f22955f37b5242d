// Package nbd is a disk that forgets: a server of the Network Block Device protocol
// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md) whose disk has
// a volatile write cache, and that can have its power cut.
//
// It takes one client at a time over a connection, in the fixed newstyle negotiation
// with simple replies, and serves READ, WRITE (with FUA), FLUSH and DISC. It promises
// what a real disk promises and not one bit more: what was written before an answered
// FLUSH, or with FUA, survives every cut. Of what was written since, Cut lets a random
// part survive, sector by sector, in any order, also torn within one request, and an
// older version of a sector may outlive a newer one.
//
// It never reorders what a client can see while the power is on: a read returns the
// last write.
package nbd
