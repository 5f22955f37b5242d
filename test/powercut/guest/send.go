package main

import (
	"fmt"
	"net/smtp"
	"sync"
	"sync/atomic"
	"time"

	"doppelboden/test/powercut/letter"
	"doppelboden/test/powercut/wire"
)

// pause is how long a sender waits after a refusal, so that a node that is full is not
// asked thousands of times a second.
const pause = 100 * time.Millisecond

// send gives the letters of the order to the node over several connections and returns
// when all of them were tried. A letter is tried once: what got no 250 was not promised.
func send(host *port, addr string, order wire.Order) {
	var last atomic.Int64
	var senders sync.WaitGroup
	for range order.Connections {
		senders.Go(func() {
			s := sender{host: host, addr: addr}
			defer s.hangUp()
			for {
				i := last.Add(1)
				if i > order.Letters {
					return
				}
				s.send(letter.Of(order.First + i - 1))
			}
		})
	}
	senders.Wait()
}

// A sender is one connection.
type sender struct {
	host   *port
	addr   string
	client *smtp.Client // nil while there is no connection
}

// send gives one letter to the node and tells the host how it went.
func (s *sender) send(l letter.Letter) {
	if err := s.try(l); err != nil {
		s.host.say(wire.Line{Kind: wire.Refused, Number: l.Number, Text: err.Error()})
		s.hangUp()
		time.Sleep(pause)
		return
	}
	s.host.say(wire.Line{Kind: wire.Acked, Number: l.Number})
}

// try leads one transaction of RFC 5321, section 3.3. It returns nil only after the 250
// to the final dot was read.
func (s *sender) try(l letter.Letter) error {
	if s.client == nil {
		c, err := smtp.Dial(s.addr)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		s.client = c
	}
	if err := s.client.Mail(l.Sender); err != nil {
		return fmt.Errorf("MAIL: %w", err)
	}
	for _, mailbox := range l.Recipients {
		if err := s.client.Rcpt(letter.Address(mailbox)); err != nil {
			return fmt.Errorf("RCPT: %w", err)
		}
	}
	w, err := s.client.Data()
	if err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	if _, err := w.Write(l.Data); err != nil {
		return fmt.Errorf("send the letter: %w", err)
	}
	s.host.say(wire.Line{Kind: wire.Sending, Number: l.Number})
	if err := w.Close(); err != nil {
		return fmt.Errorf("final dot: %w", err)
	}
	return nil
}

// hangUp closes the connection, if there is one.
func (s *sender) hangUp() {
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}
