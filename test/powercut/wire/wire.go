// Package wire is what the virtual machine and its host tell each other during the
// power-cut proof: the host one Order, the guest lines, over a virtio serial port.
//
// A line is written the moment its fact is known, because the next moment may be the cut.
// It does no I/O.
package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// A Weakness is a promise that is broken on purpose, to see whether the proof finds it.
type Weakness string

const (
	// None breaks nothing.
	None Weakness = ""
	// NoSynchronous runs SQLite with synchronous=OFF.
	NoSynchronous Weakness = "synchronous=OFF"
	// NoBarrier mounts ext4 with barrier=0: it never has the disk flushed.
	NoBarrier Weakness = "barrier=0"
	// Unsafe attaches the disk with cache=unsafe: qemu swallows every flush.
	Unsafe Weakness = "cache=unsafe"
)

// An Order tells one boot of the machine what to do.
type Order struct {
	Weakness    Weakness `json:"weakness"`
	First       int64    `json:"first"`       // number of the first letter to send
	Letters     int64    `json:"letters"`     // how many at most; 0: verify, then shut down
	Connections int      `json:"connections"` // senders side by side
	Groupware   bool     `json:"groupware"`   // it answers during the load too
}

// A Kind is the first byte of a line.
type Kind byte

const (
	// Up: the node runs. Text is how long the start took.
	Up Kind = 'u'
	// Sending: the final dot of letter Number goes out next.
	Sending Kind = 's'
	// Acked: the 250 to letter Number was read.
	Acked Kind = 'a'
	// Refused: letter Number got 4xx or 5xx, or the connection broke. Text is why.
	Refused Kind = 'r'
	// Delivered: the groupware has letter Number for Mailbox, byte for byte, and will
	// say so next.
	Delivered Kind = 'd'
	// Damaged: the groupware was given something else than was sent. Text is what.
	Damaged Kind = 'x'
	// Balance: nothing is left to be handed over. Text is the balance sheet in JSON.
	Balance Kind = 'b'
	// Load: the load begins.
	Load Kind = 'l'
	// End: everything is written and unmounted.
	End Kind = 'e'
	// Failed: the machine cannot go on. Text is why.
	Failed Kind = '!'
)

// A Line is one fact.
type Line struct {
	Kind    Kind
	Number  int64
	Mailbox int
	Text    string // without line ends
}

// String returns the line without its end.
func (l Line) String() string {
	text := strings.NewReplacer("\n", " / ", "\r", "").Replace(l.Text)
	return strings.TrimRight(fmt.Sprintf("%c %d %d %s", l.Kind, l.Number, l.Mailbox, text), " ")
}

// Parse reads what String returned.
func Parse(s string) (Line, error) {
	fields := strings.SplitN(s, " ", 4)
	if len(fields) < 3 || len(fields[0]) != 1 {
		return Line{}, fmt.Errorf("not a line of the guest: %q", s)
	}
	number, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return Line{}, fmt.Errorf("line %q: number: %w", s, err)
	}
	mailbox, err := strconv.Atoi(fields[2])
	if err != nil {
		return Line{}, fmt.Errorf("line %q: mailbox: %w", s, err)
	}
	l := Line{Kind: Kind(fields[0][0]), Number: number, Mailbox: mailbox}
	if len(fields) == 4 {
		l.Text = fields[3]
	}
	return l, nil
}
