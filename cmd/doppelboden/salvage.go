package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (p *program) salvageCommand() *cobra.Command {
	var from string
	var all bool
	c := p.command("salvage [--from TIME] [--all]", p.say.T("bring back from the landing what the database has lost, after it was restored from a backup; may be repeated"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			since, _, err := p.period(from, "")
			if err != nil {
				return err
			}
			got, err := client.Salvage(ctx, since, all)
			if err != nil {
				return err
			}
			if p.json {
				return p.object(got)
			}
			p.print(p.say.T("Mails that landed and were offered: %d. The database did not have %d of them; they are back.", got.Seen, got.Back))
			if got.Delivered > 0 {
				p.print(p.say.T("Deliveries that a next server had taken already: %d. They do not go again.", got.Delivered))
			}
			p.print(p.say.T("Deliveries that go again, also where nobody knows whether they had arrived: %d.", got.Again))
			if got.Expired > 0 {
				p.print(p.say.T("Older than what is kept, and left away: %d.", got.Expired))
			}
			return nil
		})
	c.Flags().StringVar(&from, "from", "", p.say.T("only what landed from this `time` on, by whole days (default: all that the landing keeps, a week)"))
	c.Flags().BoolVar(&all, "all", false, p.say.T("offer every mail, not only those behind the last link that the database has: after a table was lost"))
	return c
}
