package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A client speaks the protocol by hand.
type client struct {
	t *testing.T
	net.Conn
}

// dial starts a server session and returns its client and what Serve returned.
func dial(t *testing.T, s *Server) (client, <-chan error) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Serve(theirs) }()
	t.Cleanup(func() { ours.Close() })
	if err := ours.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return client{t, ours}, done
}

func (c client) send(fields ...any) {
	c.t.Helper()
	var b bytes.Buffer
	for _, f := range fields {
		if err := binary.Write(&b, binary.BigEndian, f); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, err := c.Write(b.Bytes()); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c client) receive(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatalf("receive %d bytes: %v", n, err)
	}
	return b
}

// greet leads the negotiation with GO and returns the transmission flags.
func (c client) greet() (flags uint16) {
	c.t.Helper()
	c.receive(18)
	c.send(uint32(flagFixed|flagNoZeroes), uint64(magicOption), uint32(optGo), uint32(6), uint32(0), uint16(0))
	for {
		head := c.receive(20)
		data := c.receive(int(binary.BigEndian.Uint32(head[16:])))
		switch kind := binary.BigEndian.Uint32(head[12:]); kind {
		case repAck:
			return flags
		case repInfo:
			if binary.BigEndian.Uint16(data) == infoExport {
				flags = binary.BigEndian.Uint16(data[10:])
			}
		default:
			c.t.Fatalf("GO answered with reply type %#x", kind)
		}
	}
}

// command sends a request; data follows a WRITE.
func (c client) command(flags, command uint16, cookie uint64, off int64, n int, data []byte) {
	c.t.Helper()
	c.send(uint32(magicRequest), flags, command, cookie, off, uint32(n), data)
}

// errno reads one simple reply.
func (c client) errno(cookie uint64) uint32 {
	c.t.Helper()
	head := c.receive(16)
	if magic := binary.BigEndian.Uint32(head); magic != magicSimple {
		c.t.Fatalf("reply begins with %#x, want %#x", magic, magicSimple)
	}
	if got := binary.BigEndian.Uint64(head[8:]); got != cookie {
		c.t.Fatalf("reply to %d, want to %d", got, cookie)
	}
	return binary.BigEndian.Uint32(head[4:])
}

func TestAClientReadsWhatItWroteAndFUAIsDurableAtOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	d, medium := newDisk(t, 16, 1<<20)
	c, done := dial(t, NewServer(d, Options{}))
	if got, want := c.greet(), uint16(hasFlags|sendFlush|sendFUA); got != want {
		t.Errorf("offered %b, want %b", got, want)
	}
	c.command(0, cmdWrite, 1, 512, 1024, sectors(2, 7))
	if got := c.errno(1); got != 0 {
		t.Fatalf("WRITE: error %d", got)
	}
	if medium[512] != 0 {
		t.Error("a plain WRITE is on the medium before any FLUSH")
	}
	c.command(0, cmdRead, 2, 0, 1024, nil)
	if got := c.errno(2); got != 0 {
		t.Fatalf("READ: error %d", got)
	}
	if got := c.receive(1024); !bytes.Equal(got, append(sectors(1, 0), sectors(1, 7)...)) {
		t.Error("READ does not return the last write")
	}
	c.command(cmdFlagFUA, cmdWrite, 3, 4096, 512, sectors(1, 9))
	if got := c.errno(3); got != 0 || medium[4096] != 9 {
		t.Errorf("WRITE with FUA: error %d, medium holds %d, want 0 and 9", got, medium[4096])
	}
	c.command(0, cmdFlush, 4, 0, 0, nil)
	if got := c.errno(4); got != 0 || medium[512] != 7 {
		t.Errorf("FLUSH: error %d, medium holds %d, want 0 and 7", got, medium[512])
	}
	c.command(0, cmdDisconnect, 5, 0, 0, nil)
	if err := <-done; err != nil {
		t.Errorf("after DISC: %v", err)
	}
	want := Stats{Reads: 1, Writes: 2, BytesWritten: 1536, Flushes: 1, FUA: 1}
	if got := d.Stats(); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestAnythingElseIsRefusedAndTheSessionGoesOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	d, _ := newDisk(t, 16, 1<<20)
	c, done := dial(t, NewServer(d, Options{}))
	c.receive(18)
	c.send(uint32(flagFixed))
	c.send(uint64(magicOption), uint32(8), uint32(0)) // STRUCTURED_REPLY
	if got := binary.BigEndian.Uint32(c.receive(20)[12:]); got != repErrUnsup {
		t.Errorf("an unknown option: reply %#x, want %#x", got, uint32(repErrUnsup))
	}
	c.send(uint64(magicOption), uint32(optGo), uint32(6), uint32(99), uint16(0))
	if got := binary.BigEndian.Uint32(c.receive(20)[12:]); got != repErrInvalid {
		t.Errorf("GO with a name longer than the option: reply %#x, want %#x", got, uint32(repErrInvalid))
	}
	c.send(uint64(magicOption), uint32(optExportName), uint32(0))
	if got := int64(binary.BigEndian.Uint64(c.receive(8 + 2 + 124))); got != d.Size() {
		t.Errorf("EXPORT_NAME: size %d, want %d", got, d.Size())
	}
	c.command(0, 4, 1, 0, 512, nil) // TRIM
	if got := c.errno(1); got != errnoInvalid {
		t.Errorf("TRIM: error %d, want %d", got, errnoInvalid)
	}
	c.command(0, cmdRead, 2, 16*SectorSize, 512, nil)
	if got := c.errno(2); got != errnoInvalid {
		t.Errorf("READ beyond the end: error %d, want %d", got, errnoInvalid)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Errorf("after the client hung up: %v", err)
	}
}

func TestACutDuringAFlushAnswersNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	d, medium := newDisk(t, 16, 1<<20)
	began := make(chan struct{})
	s := NewServer(d, Options{Delay: func() time.Duration { close(began); return time.Hour }})
	c, done := dial(t, s)
	c.greet()
	c.command(0, cmdWrite, 1, 0, 512, sectors(1, 7))
	c.errno(1)
	c.command(0, cmdFlush, 2, 0, 0, nil)
	<-began
	c.command(0, cmdRead, 3, 0, 512, nil)
	if c.errno(3); c.receive(512)[0] != 7 {
		t.Error("while a FLUSH runs, READ does not return the last write")
	}
	s.PowerOff()
	c.command(0, cmdRead, 4, 0, 512, nil)
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the cut the client reads %d bytes, %v; want silence", n, err)
	}
	c.Close()
	if err := <-done; !errors.Is(err, ErrPower) {
		t.Errorf("Serve after the cut: %v, want %v", err, ErrPower)
	}
	if medium[0] != 0 {
		t.Error("a FLUSH that was cut reached the medium")
	}
	loss, err := d.Drop(rand.New(rand.NewPCG(1, 1)))
	if err != nil || loss.Pending != 1 {
		t.Errorf("loss %+v, %v; want 1 sector pending", loss, err)
	}
}

func TestALyingDiskOffersNoFlush(t *testing.T) {
	defer goleak.VerifyNone(t)
	d, _ := newDisk(t, 16, 1<<20)
	c, done := dial(t, NewServer(d, Options{Lying: true}))
	if got := c.greet(); got != hasFlags {
		t.Errorf("offered %b, want %b", got, hasFlags)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
