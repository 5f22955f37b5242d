package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/say"
	"doppelboden/send"
)

// A sent is one mail as send tells it in JSON.
type sent struct {
	Kept    bool   `json:"kept"`
	Code    int    `json:"code"`
	Reply   string `json:"reply"`
	Receipt string `json:"receipt,omitempty"`
}

func (p *program) sendCommand() *cobra.Command {
	var to, from, subject string
	var count int
	c := p.command("send --to ADDRESS [flags]", p.say.T("send a mail through the MX, as a stranger would"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			m := send.Mail{Subject: subject, Text: p.say.T("A mail of the command doppelboden send.")}
			var err error
			if m.To, err = doppelboden.ParseAddress(to); err != nil {
				return usage("--to: " + doppelboden.PublicOf(err))
			}
			if from != "" {
				if m.From, err = doppelboden.ParseAddress(from); err != nil {
					return usage("--from: " + doppelboden.PublicOf(err))
				}
			}
			if count < 1 {
				return usage(p.say.T("--count is 1 or more"))
			}
			return p.send(ctx, m, count)
		})
	f := c.Flags()
	f.StringVar(&to, "to", "", p.say.T("the recipient's `address`"))
	f.StringVar(&from, "from", "stranger@example.org", p.say.T("the sender's `address`; \"\" for none"))
	f.StringVar(&subject, "subject", "doppelboden send", p.say.T("the `subject`"))
	f.IntVar(&count, "count", 1, p.say.T("how `many`"))
	p.require(c, "to")
	return c
}

// send sends the same mail count times.
func (p *program) send(ctx context.Context, m send.Mail, count int) error {
	n, err := p.loadNode()
	if err != nil {
		return err
	}
	addr, err := p.mx(ctx, n.MX)
	if err != nil {
		return err
	}
	conn, err := send.Dial(ctx, addr)
	if err != nil {
		return fmt.Errorf("%w: %w", control.ErrUnreachable, err)
	}
	defer conn.Close()
	subject := m.Subject
	for i := range count {
		if count > 1 {
			m.Subject = subject + " " + strconv.Itoa(i+1)
		}
		a, err := conn.Send(m, p.now())
		if err != nil {
			return fmt.Errorf("%w: %w", control.ErrUnreachable, err)
		}
		if err := p.answered(a); err != nil {
			return err
		}
	}
	return nil
}

// answered tells what the MX said.
func (p *program) answered(a send.Answer) error {
	if p.json {
		s := sent{Kept: a.Kept(), Code: a.Code, Reply: a.Text}
		if !a.Receipt.IsZero() {
			s.Receipt = a.Receipt.String()
		}
		if err := p.object(s); err != nil {
			return err
		}
	} else if a.Kept() {
		p.print(p.say.T("kept, receipt %s", a.Receipt.String()))
	} else {
		p.print(p.say.T("refused: %s", say.Plain(strconv.Itoa(a.Code)+" "+a.Text)))
	}
	if !a.Kept() {
		return errNo
	}
	return nil
}

// mx returns where the node takes mail. With port 0, or an address that means all of
// them, the running node knows more.
func (p *program) mx(ctx context.Context, written string) (string, error) {
	host, port, err := net.SplitHostPort(written)
	if err != nil {
		return "", errors.New(p.say.T("this node takes no mail: it has no listener mx"))
	}
	if port == "0" {
		c, err := p.client()
		if err != nil {
			return "", err
		}
		s, err := c.Status(ctx)
		if err != nil {
			return "", err
		}
		if host, port, err = net.SplitHostPort(s.Listeners["mx"]); err != nil {
			return "", fmt.Errorf("read where the node listens: %w", err)
		}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}
