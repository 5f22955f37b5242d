package segment

import "fmt"

// Damage names bytes that are not what was written. It is an error; its code is
// doppelboden.Temporary, because the bytes may come back from a copy.
type Damage struct {
	Segment string // as in doppelboden.Body
	Offset  int64  // where it starts, in bytes
	Length  int64  // how long it is as far as one can tell, in bytes
	What    string // what is wrong
	// Torn says that nothing shows that these bytes were ever synced: they are what a
	// crash left of the last moment, and no acknowledged body lies there.
	Torn bool
}

// Error names the damage in one line.
func (d *Damage) Error() string {
	kind := "damaged"
	if d.Torn {
		kind = "torn"
	}
	return fmt.Sprintf("segment %s: %d bytes at %d %s: %s", d.Segment, d.Length, d.Offset, kind, d.What)
}
