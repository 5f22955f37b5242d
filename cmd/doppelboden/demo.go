package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"doppelboden/demo"

	"github.com/spf13/cobra"
)

func (p *program) demoCommand() *cobra.Command {
	var seconds int
	c := p.command("demo [flags]", p.say.T("play one outage on this machine in about two minutes, and tell it in words; leaves nothing behind"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			if seconds < 5 {
				return usage(p.say.T("%s is 5 or more", "--seconds"))
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			r, err := demo.Run(ctx, demo.Options{Program: self, Length: time.Duration(seconds) * time.Second, Say: p.say, Tell: p.tell})
			if err != nil {
				return err
			}
			if p.json {
				err = p.object(r)
			}
			if err == nil && !r.Good {
				err = errNo
			}
			return err
		})
	c.Flags().IntVar(&seconds, "seconds", 100, p.say.T("for how `many` seconds mail comes in"))
	return c
}

// tell tells one line of the play.
func (p *program) tell(l demo.Line) {
	if p.json {
		// Who reads standard output may be gone; the play goes on to clear up.
		_ = p.object(l)
		return
	}
	p.print(l.At.Format("15:04:05") + "  " + l.Text)
}
