// Package tally is what doors and couriers log about their own doing, apart from the
// database, so that the balance sheet has counts that do not come from the same place.
//
// It takes facts: a door's intent to say 250 and what became of it, a courier's attempt
// and what the next server answered. It promises that what was logged before a Sync
// that succeeded is on the disk, and that a reader gets every whole record and is told
// of every damaged one. It never reads the database, never decides anything, and never
// holds an address or a text of a mail.
//
// # Files
//
//	DIR/doors-2026-11-22.tally      records of 32 bytes
//	DIR/replies-2026-11-22.tally    records of 128 bytes
//	DIR/doors-2026-11-22+4128.tally the same log from 4128 on
//
// A record lies in the file of its own day (UTC) and carries a CRC32C. A file is
// written by one process only: the next one cuts off what a crash tore, writes an end
// mark, and goes on in a part of its own, whose name says from where it counts. Room
// that is reserved reads as zeros, which are no record.
package tally
