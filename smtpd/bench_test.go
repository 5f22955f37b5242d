package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"

	"doppelboden"
)

// mailOf returns a body of about size octets in lines of 76, ready for DATA.
func mailOf(size int) []byte {
	line := strings.Repeat("x", 76) + "\r\n"
	return []byte(strings.Repeat(line, size/len(line)+1))
}

// BenchmarkBody compares the body reader with the one of net/textproto.
func BenchmarkBody(b *testing.B) {
	for _, size := range []int{4 << 10, 75 << 10, 1 << 20} {
		in := append(mailOf(size), ".\r\n"...)
		b.Run(fmt.Sprintf("ours/%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				var r body
				r.start(io.Discard, 1<<40, NormaliseBareLF, false)
				for rest := in; ; {
					n, end := r.take(rest[:min(len(rest), inputBulk)])
					if end {
						break
					}
					rest = rest[n:]
				}
				if r.err() != nil {
					b.Fatal(r.err())
				}
			}
		})
		b.Run(fmt.Sprintf("textproto/%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			src := bytes.NewReader(in)
			buf := bufio.NewReaderSize(src, inputBulk)
			for b.Loop() {
				src.Reset(in)
				buf.Reset(src)
				if _, err := io.Copy(io.Discard, textproto.NewReader(buf).DotReader()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A nothing is an Intake that keeps nothing and costs nothing.
type nothing struct{ kept atomic.Int64 }

func (n *nothing) Begin(context.Context, Envelope) (Transaction, error) { return n, nil }
func (n *nothing) Rcpt(context.Context, Recipient) error                { return nil }
func (n *nothing) Write(p []byte) (int, error)                          { return len(p), nil }
func (n *nothing) Acked(bool)                                           {}
func (n *nothing) Abort()                                               {}
func (n *nothing) Commit(context.Context) (Kept, error) {
	n.kept.Add(1)
	return Kept{Receipt: doppelboden.Receipt{1}}, nil
}

// BenchmarkDoor sends mails over 20 kept connections on loopback into an Intake that
// keeps nothing; the client's side runs in the same process.
func BenchmarkDoor(b *testing.B) {
	for _, pipelined := range []bool{false, true} {
		for _, size := range []int{4 << 10, 75 << 10} {
			b.Run(fmt.Sprintf("%dKB/pipelined=%v", size>>10, pipelined), func(b *testing.B) {
				benchmarkDoor(b, mailOf(size), pipelined)
			})
		}
	}
}

func benchmarkDoor(b *testing.B, text []byte, pipelined bool) {
	const connections = 20
	bag := &nothing{}
	_, addr := overTCP(b, Options{Intake: bag})
	envelope := []string{"MAIL FROM:<anna.a@sender.example>\r\n", "RCPT TO:<b@city.example>\r\n", "DATA\r\n"}
	steps, replies := envelope, 1
	if pipelined {
		steps, replies = []string{strings.Join(envelope, "")}, 3
	}
	steps = append(steps, string(text)+".\r\n")
	var todo atomic.Int64
	todo.Store(int64(b.N))
	errs := make(chan error, connections)
	conns := make([]net.Conn, connections)
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		conns[i] = c
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	b.ResetTimer()
	for _, c := range conns {
		go func() { errs <- sendMails(c, steps, replies, &todo) }()
	}
	for range conns {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
	for _, c := range conns {
		c.Close()
	}
	if got := bag.kept.Load(); got != int64(b.N) {
		b.Fatalf("kept %d mails, wanted %d", got, b.N)
	}
}

// sendMails sends mails over one connection until there is nothing left to do.
func sendMails(c net.Conn, steps []string, replies int, todo *atomic.Int64) error {
	r := bufio.NewReaderSize(c, 1024)
	hear := func(n int) error {
		for n > 0 {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if line[0] > '3' {
				return fmt.Errorf("reply %q", line)
			}
			if line[3] == ' ' {
				n--
			}
		}
		return nil
	}
	if err := hear(1); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "EHLO sender.example\r\n"); err != nil {
		return err
	}
	if err := hear(1); err != nil {
		return err
	}
	raw := make([][]byte, len(steps))
	for i, s := range steps {
		raw[i] = []byte(s)
	}
	for todo.Add(-1) >= 0 {
		for i, s := range raw {
			if _, err := c.Write(s); err != nil {
				return err
			}
			n := 1
			if i == 0 {
				n = replies
			}
			if err := hear(n); err != nil {
				return err
			}
		}
	}
	return nil
}
