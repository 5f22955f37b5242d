// Package segment keeps bodies on disk: append-only, encrypted, checksummed, in one
// folder a day.
//
// It takes plain bytes and gives back a doppelboden.Body, which says where they lie and
// how to read them. It promises that what Put, Create and Move took before a Sync that
// succeeded is on the disk; that a reader never gets a byte that differs from what was
// written; and that damage is named by file, offset and length while everything around
// it stays readable. It never writes over a record, never writes into a file that an
// earlier process wrote (but for the end mark behind a crash), never removes a file
// that a Body may point to unless told to by Drop, and knows nothing of messages.
//
// # Files
//
//	DIR/20261122/0001.seg                  bodies up to 256 KiB, one record each
//	DIR/20261122/0001+7340032.seg          the same segment from 7340032 on, after a failed sync
//	DIR/20261122/3f9c0d5a7b1e2468.big      one body of more than that
//	DIR/20261122/3f9c0d5a7b1e2468.big.part one that is still arriving, or never did
//
// Days are those of UTC. A new process starts new files. All numbers are big-endian.
//
// A record is a header of 48 bytes and the sealed body. The header says what follows,
// how long it is and its CRC32C, where the record lies, and how much of the file was
// already synced when it was written; its own CRC32C is at its end. So damage is found
// without any key, a reader finds the next record behind damage, and what a crash tore
// can be told from what was durable once and is damaged now. A segment that was ended
// in order has an end mark, which is a record without a body.
//
// A big file is a header of 48 bytes and sealed chunks of 64 KiB, each with its length
// and CRC32C, and an end mark with the size. It is synced before it gets its name, so
// a file with the ending .big is whole or damaged, never unfinished.
//
// # Keys
//
// Every body is sealed (AES-256-GCM) with a random key of its own. The key is used for
// this one body, so a fixed nonce is right for a record: a nonce must only never be
// used twice with one key. The chunks of a big body number their nonces and mark the
// last one, so that a chunk that is cut off, moved or repeated is noticed (the STREAM
// construction of Hoang, Reyhanitabar, Rogaway and Vizár). The tenant and the size are
// bound to the ciphertext.
//
// The body's key, wrapped by the tenant's, is not in the segment. It is in
// doppelboden.Body.Key, hence in the database. So rotation of keys writes no body, and
// deleting the row shreds the body.
package segment
