package main

import (
	"context"

	"github.com/spf13/cobra"

	"doppelboden/sink"
)

func (p *program) sinkCommand() *cobra.Command {
	var o sink.Options
	var script, keep string
	c := p.command("sink --listen ADDRESS [flags]", p.say.T("stand in for a groupware: take mail over SMTP and LMTP, answer as a script says, count"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			if script != "" {
				s, err := sink.Load(script)
				if err != nil {
					return err
				}
				o.Script = s
			}
			switch keep {
			case "counts":
				o.Keep = sink.Counts
			case "envelopes":
				o.Keep = sink.Envelopes
			default:
				return usage(p.say.T("--keep is counts or envelopes"))
			}
			o.Clock = p.now
			s, err := sink.Start(o)
			if err != nil {
				return err
			}
			if p.json {
				err = p.object(map[string]string{"listen": s.Addr()})
			} else {
				p.print(p.say.T("The stand-in listens at %s and takes SMTP and LMTP; Ctrl-C ends it.", s.Addr()))
			}
			if err == nil {
				<-ctx.Done()
			}
			if closeErr := s.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				return err
			}
			stats := s.Stats()
			if p.json {
				return p.object(stats)
			}
			p.print(p.say.T("Mails taken: %d; deliveries: %d, of which twice: %d", stats.Messages, stats.Deliveries, stats.Duplicates))
			return nil
		})
	f := c.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:2424", p.say.T("the `address:port` to listen at"))
	f.StringVar(&script, "script", "", p.say.T("a `file` that says how it behaves"))
	f.StringVar(&keep, "keep", "envelopes", p.say.T("`what` is remembered: counts, or envelopes (of every recipient and mail)"))
	f.StringVar(&o.Dir, "dir", "", p.say.T("a `folder` for the mails that were taken"))
	f.StringVar(&o.StatsFile, "stats", "", p.say.T("a `file` that is given the counts every second"))
	return c
}
