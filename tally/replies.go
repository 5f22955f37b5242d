package tally

import (
	"encoding/binary"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/disk"
)

// replies is the format of what couriers log:
//
//	all      0 kind, 1      4 time, 8       12 message, 16    124 CRC32C, 4
//	attempt  1 count, 1     2 length of the route, 1   3 passing, 1
//	         28 positions, 16 times 4       92 route, 32
//	answer   1 verdict, 1   2 scope, 1      3 phase, 1
//	         28 position, 4 32 code, 2      34 in doubt, 1    35 length of the queue id, 1
//	         36 queue id, 64                100 enhanced code, 12
var replies = newFormat("replies", 128)

const (
	perAttempt  = 16 // positions in one record
	maxRoute    = 32 // bytes; what is longer is cut
	maxQueueID  = 64 // bytes; what is longer is no queue id
	maxEnhanced = 12 // bytes, such as "5.123.123"; what is longer is cut
)

// phases lists what Outcome.Phase can be; 0 is anything else.
var phases = [...]string{"", "connect", "greeting", "helo", "mail", "rcpt", "data", "dot", "login", "append", PhaseFound}

// PhaseFound is the phase of an answer that tells that the mail of an earlier attempt was
// found in its mailbox.
const PhaseFound = "found"

// A ReplyKind says what a courier did.
type ReplyKind byte

const (
	// Attempt: the courier is about to send the final dot for a delivery.
	Attempt ReplyKind = 1
	// Answer: the next server, or the lack of it, gave an outcome for a delivery.
	Answer ReplyKind = 2
)

// String returns the kind's name as logs and exports use it.
func (k ReplyKind) String() string {
	switch k {
	case Attempt:
		return "attempt"
	case Answer:
		return "answer"
	}
	return "unknown"
}

// A ReplyRecord is one fact about one delivery.
type ReplyRecord struct {
	Kind ReplyKind
	Ref  doppelboden.Ref
	At   time.Time // microseconds are kept

	Route string // for Attempt: at most 32 bytes
	// Passing says of an Attempt that it was made before the message was kept: within the
	// transaction of who sent it.
	Passing bool

	// For Answer, as in doppelboden.Outcome.
	Verdict  doppelboden.Verdict
	Scope    doppelboden.Scope
	Phase    string
	Code     int
	Enhanced string
	InDoubt  bool
	// QueueID is what the next server calls the message, out of its reply; or empty.
	// It is at most 64 bytes of printable ASCII without spaces.
	QueueID string
}

// Replies is the couriers' log. Its methods may be called by several goroutines. What
// is logged waits in memory until Flush or Sync, or until much has gathered.
type Replies struct{ log *log }

// OpenReplies opens the couriers' log in dir, as OpenDoors does that of the doors.
func OpenReplies(dir string, clock func() time.Time) (*Replies, error) {
	return openReplies(disk.OS{}, dir, clock)
}

func openReplies(fsys disk.FS, dir string, clock func() time.Time) (*Replies, error) {
	l, err := newLog(fsys, dir, replies, clock)
	if err != nil {
		return nil, err
	}
	return &Replies{l}, nil
}

// Attempt logs that the final dot will now be sent for refs.
func (r *Replies) Attempt(refs []doppelboden.Ref, route string, at time.Time) {
	r.attempt(refs, route, at, 0)
}

// Passing logs that refs were handed over within the transaction of who sent them, and
// are about to be kept. The answers follow.
func (r *Replies) Passing(refs []doppelboden.Ref, route string, at time.Time) {
	r.attempt(refs, route, at, 1)
}

func (r *Replies) attempt(refs []doppelboden.Ref, route string, at time.Time, passing byte) {
	route = route[:min(len(route), maxRoute)]
	for len(refs) > 0 {
		// One record takes deliveries of one message.
		n := slices.IndexFunc(refs, func(f doppelboden.Ref) bool { return f.Message != refs[0].Message })
		if n < 0 {
			n = len(refs)
		}
		some := refs[:min(n, perAttempt)]
		refs = refs[len(some):]
		r.log.add(at, func(rec []byte) {
			rec[0], rec[1], rec[2], rec[3] = byte(Attempt), byte(len(some)), byte(len(route)), passing
			putTime(rec, at)
			copy(rec[12:28], some[0].Message[:])
			for i, ref := range some {
				binary.BigEndian.PutUint32(rec[28+4*i:], uint32(ref.N))
			}
			copy(rec[92:124], route)
		})
	}
}

// Answer logs what came. The queue id is found in the reply's text if the reply is
// positive and of a kind that we know.
func (r *Replies) Answer(o doppelboden.Outcome) {
	var id string
	if o.Verdict == doppelboden.Took {
		id = queueID(o.Reply.Text)
	}
	r.log.add(o.At, func(rec []byte) {
		rec[0], rec[1], rec[2] = byte(Answer), byte(o.Verdict), byte(o.Scope)
		rec[3] = byte(max(slices.Index(phases[:], o.Phase), 0))
		putTime(rec, o.At)
		copy(rec[12:28], o.Ref.Message[:])
		binary.BigEndian.PutUint32(rec[28:], uint32(o.Ref.N))
		binary.BigEndian.PutUint16(rec[32:], uint16(o.Reply.Code))
		if o.InDoubt {
			rec[34] = 1
		}
		rec[35] = byte(len(id))
		copy(rec[36:100], id)
		copy(rec[100:112], printable(o.Reply.Enhanced, maxEnhanced))
	})
}

// Sync returns nil when everything that was logged before the call is on the disk; see
// Doors.Sync.
func (r *Replies) Sync() error { return r.log.sync() }

// Flush gives everything to the kernel, so that readers see it.
func (r *Replies) Flush() error { return disk.Fail("flush tally", r.log.flush()) }

// Close syncs and ends the log. What is logged afterwards is lost.
func (r *Replies) Close() error { return r.log.close() }

// Prune removes the files of the days that ended at or before before, in UTC.
func (r *Replies) Prune(before time.Time) error { return r.log.prune(before) }

// ReadReplies yields the records with from <= At < to; see ReadDoors. An attempt for
// several deliveries is yielded once for each.
func ReadReplies(dir string, from, to time.Time, yield func(ReplyRecord) error) error {
	return readReplies(disk.OS{}, dir, from, to, yield)
}

func readReplies(fsys disk.FS, dir string, from, to time.Time, yield func(ReplyRecord) error) error {
	return replies.read(fsys, dir, from, to, func(rec []byte) error {
		r := ReplyRecord{Kind: ReplyKind(rec[0]), At: recordTime(rec),
			Ref: doppelboden.Ref{Message: doppelboden.ID(rec[12:28]), N: int(binary.BigEndian.Uint32(rec[28:]))}}
		if r.Kind != Attempt {
			readAnswer(rec, &r)
			return yield(r)
		}
		r.Passing = rec[3] == 1
		r.Route = string(rec[92 : 92+min(int(rec[2]), maxRoute)])
		for i := range min(int(rec[1]), perAttempt) {
			r.Ref.N = int(binary.BigEndian.Uint32(rec[28+4*i:]))
			if err := yield(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// readAnswer reads what only an answer has.
func readAnswer(rec []byte, r *ReplyRecord) {
	if v := doppelboden.Verdict(rec[1]); v <= doppelboden.Refused {
		r.Verdict = v
	}
	if s := doppelboden.Scope(rec[2]); s <= doppelboden.AboutRecipient {
		r.Scope = s
	}
	r.Phase = phases[min(int(rec[3]), len(phases)-1)]
	r.Code = int(binary.BigEndian.Uint16(rec[32:]))
	r.InDoubt = rec[34] != 0
	r.QueueID = string(rec[36 : 36+min(int(rec[35]), maxQueueID)])
	r.Enhanced = printable(string(rec[100:112]), maxEnhanced)
}
