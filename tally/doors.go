package tally

import (
	"encoding/binary"
	"time"

	"doppelboden"
	"doppelboden/disk"
)

// doors is the format of what doors log:
//
//	0 kind, 1   1 recipients, 3   4 time, 8   12 id, 16   28 CRC32C, 4
var doors = newFormat("doors", 32)

// A DoorKind says what a door did.
type DoorKind byte

const (
	// Intent: the door is about to accept a message and to say 250.
	Intent DoorKind = 1
	// Sent: the 250 was written to the client.
	Sent DoorKind = 2
	// Unsent: the message is kept, but the 250 could not be written.
	Unsent DoorKind = 3
	// Withdrawn: the client was given a 4xx or 5xx instead.
	Withdrawn DoorKind = 4
)

// String returns the kind's name as logs and exports use it.
func (k DoorKind) String() string {
	names := [...]string{"unknown", "intent", "sent", "unsent", "withdrawn"}
	if int(k) >= len(names) {
		return names[0]
	}
	return names[k]
}

// A DoorRecord is one fact about one message.
type DoorRecord struct {
	Kind       DoorKind
	ID         doppelboden.ID
	At         time.Time // microseconds are kept
	Recipients int       // RCPTs that were answered with 250; for Intent only
}

// maxRecipients is what three bytes hold; doors take far fewer.
const maxRecipients = 1<<24 - 1

// Doors is the doors' log. Its methods may be called by several goroutines. What is
// logged waits in memory until Flush or Sync, or until much has gathered.
type Doors struct{ log *log }

// OpenDoors opens the doors' log in dir, which no other process may write. It makes the
// folder when it is missing, and cuts off what a crash tore. The clock decides which
// days are over.
func OpenDoors(dir string, clock func() time.Time) (*Doors, error) {
	return openDoors(disk.OS{}, dir, clock)
}

func openDoors(fsys disk.FS, dir string, clock func() time.Time) (*Doors, error) {
	l, err := newLog(fsys, dir, doors, clock)
	if err != nil {
		return nil, err
	}
	return &Doors{l}, nil
}

// Intent logs that the door will now accept a message with so many recipients.
func (d *Doors) Intent(id doppelboden.ID, recipients int, at time.Time) {
	d.add(Intent, id, recipients, at)
}

// Sent logs that the 250 was written.
func (d *Doors) Sent(id doppelboden.ID, at time.Time) { d.add(Sent, id, 0, at) }

// Unsent logs that the 250 could not be written.
func (d *Doors) Unsent(id doppelboden.ID, at time.Time) { d.add(Unsent, id, 0, at) }

// Withdrawn logs that the client was told 4xx or 5xx.
func (d *Doors) Withdrawn(id doppelboden.ID, at time.Time) { d.add(Withdrawn, id, 0, at) }

func (d *Doors) add(kind DoorKind, id doppelboden.ID, recipients int, at time.Time) {
	d.log.add(at, func(rec []byte) {
		binary.BigEndian.PutUint32(rec, uint32(kind)<<24|uint32(min(max(recipients, 0), maxRecipients)))
		putTime(rec, at)
		copy(rec[12:28], id[:])
	})
}

// Sync returns nil when everything that was logged before the call is on the disk.
// Callers share one sync. After an error the records are kept and written again by the
// next call; when there was no more room to keep some, the error says how many were
// lost, once. Errors are Temporary or StorageFull.
func (d *Doors) Sync() error { return d.log.sync() }

// Flush gives everything to the kernel, so that readers see it.
func (d *Doors) Flush() error { return disk.Fail("flush tally", d.log.flush()) }

// Close syncs and ends the log. What is logged afterwards is lost.
func (d *Doors) Close() error { return d.log.close() }

// Prune removes the files of the days that ended at or before before, in UTC.
func (d *Doors) Prune(before time.Time) error { return d.log.prune(before) }

// ReadDoors yields the records with from <= At < to, by day and in the order in which
// they were logged. It may run while the log is written, by this process or another,
// and then reads up to the last whole record that was flushed. Damaged records are
// passed over; after the rest was read the error names them: each is a *Damage in its
// tree. An error of yield ends the reading and is returned.
func ReadDoors(dir string, from, to time.Time, yield func(DoorRecord) error) error {
	return readDoors(disk.OS{}, dir, from, to, yield)
}

func readDoors(fsys disk.FS, dir string, from, to time.Time, yield func(DoorRecord) error) error {
	return doors.read(fsys, dir, from, to, func(rec []byte) error {
		first := binary.BigEndian.Uint32(rec)
		return yield(DoorRecord{Kind: DoorKind(first >> 24), Recipients: int(first & maxRecipients),
			At: recordTime(rec), ID: doppelboden.ID(rec[12:28])})
	})
}
