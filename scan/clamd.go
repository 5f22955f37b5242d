package scan

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	// chunkSize is how much of a mail goes to clamd in one piece.
	chunkSize = 64 << 10
	// maxClamReply bounds what clamd may answer; the name of a signature is shorter.
	maxClamReply = 4 << 10
	// replyGrace is how long an answer may take that clamd ought to have given already,
	// because it broke off while we were still sending.
	replyGrace = time.Second
)

// A clamd is one ClamAV daemon. Each scan has a connection of its own: a session
// (IDSESSION) saves a tenth of the shortest scan, and one answer that is lost in a
// session puts all later ones in doubt.
type clamd struct {
	network string // "unix" or "tcp"
	addr    string
	dialer  net.Dialer
}

// dial connects and makes ctx end what the connection waits for.
func (c *clamd) dial(ctx context.Context) (net.Conn, func(), error) {
	conn, err := c.dialer.DialContext(ctx, c.network, c.addr)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	release := guard(ctx, conn)
	return conn, func() { release(); conn.Close() }, nil
}

// guard ends reads and writes of conn when ctx ends. The function it returns must be
// called before conn is used for anything else.
func guard(ctx context.Context, conn net.Conn) (release func()) {
	if until, ok := ctx.Deadline(); ok {
		conn.SetDeadline(until)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// scan streams a mail to clamd: clamd(8), INSTREAM.
func (c *clamd) scan(ctx context.Context, m *Mail) (report, error) {
	body, err := m.Open()
	if err != nil {
		return report{}, &mailError{fmt.Errorf("open the mail: %w", err)}
	}
	defer body.Close()
	conn, end, err := c.dial(ctx)
	if err != nil {
		return report{}, err
	}
	defer end()
	sending := stream(conn, body)
	var unreadable *mailError
	if errors.As(sending, &unreadable) {
		return report{}, sending
	}
	if sending != nil && ctx.Err() == nil {
		// Who stops reading has said why, or is dead.
		conn.SetReadDeadline(time.Now().Add(replyGrace))
	}
	reply, err := readReply(conn)
	if err != nil {
		return report{}, brokeOff(m, sending, err)
	}
	r, err := parseClam(reply)
	if sending != nil && err == nil && r.state != malware {
		// It has not seen the whole mail.
		return report{}, fmt.Errorf("answered before it had the mail: %w", sending)
	}
	return r, err
}

// stream sends INSTREAM and the body in chunks, each after its length in four bytes,
// most significant first.
func stream(w io.Writer, body io.Reader) error {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	// The command shares the first write with the first chunk.
	at := copy(*buf, "zINSTREAM\x00")
	for {
		n, err := io.ReadFull(body, (*buf)[at+4:at+4+chunkSize])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return &mailError{fmt.Errorf("read the mail: %w", err)}
		}
		out := (*buf)[:at]
		if n > 0 {
			out = binary.BigEndian.AppendUint32(out, uint32(n))[:at+4+n]
		}
		last := err != nil
		if last {
			out = append(out, 0, 0, 0, 0)
		}
		if _, err := w.Write(out); err != nil {
			return fmt.Errorf("send the mail: %w", err)
		}
		if last {
			return nil
		}
		at = 0
	}
}

// readReply reads up to the NUL that ends an answer.
func readReply(r io.Reader) ([]byte, error) {
	buf := make([]byte, 0, 256)
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= maxClamReply {
				return nil, fmt.Errorf("the answer is longer than %d bytes", maxClamReply)
			}
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if end := bytes.IndexByte(buf, 0); end >= 0 {
			return buf[:end], nil
		}
		if err == io.EOF {
			return nil, fmt.Errorf("the answer breaks off: %s", brief(buf))
		}
		if err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
	}
}

// parseClam reads the answer to INSTREAM: "stream: OK", "stream: NAME FOUND" or
// "… ERROR". Everything else is trouble.
func parseClam(reply []byte) (report, error) {
	text := string(reply)
	if strings.HasSuffix(text, " ERROR") {
		if strings.Contains(text, "size limit exceeded") {
			return report{}, errTooLarge
		}
		return report{}, fmt.Errorf("clamd says: %s", brief(reply))
	}
	said, ok := strings.CutPrefix(text, "stream: ")
	if !ok {
		return report{}, fmt.Errorf("not an answer of clamd: %s", brief(reply))
	}
	if said == "OK" {
		return report{state: clean}, nil
	}
	if name, found := strings.CutSuffix(said, " FOUND"); found && name != "" {
		return report{state: malware, name: brief([]byte(name))}, nil
	}
	return report{}, fmt.Errorf("not an answer of clamd: %s", brief(reply))
}
