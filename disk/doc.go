// Package disk holds what durable files need and the operating system does not give:
// a sync that many callers share, an append-only file that survives a failed fsync,
// and files that appear whole or not at all.
//
// It takes bytes and names. It promises that what a Sync reported is on the disk, and
// that nothing is ever written over bytes that a Sync has reported. It knows nothing
// of what the bytes mean, never reads them back, and starts no goroutine.
//
// # After a failed fsync
//
// When fsync fails, Linux marks the pages clean and forgets them: a second fsync of
// the same file succeeds although the bytes never reached the disk. So an Appender
// never asks the same file again. It keeps all bytes since the last good sync in
// memory and, after a failure, writes them into a new file, a part, at the same
// offsets. The addresses that were handed out stay true, and a later Sync that reports
// success has really synced those bytes.
package disk
