package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/queue"
	"doppelboden/say"
)

func (p *program) queueCommand() *cobra.Command {
	return p.group("queue", p.say.T("what waits, and decisions about it"),
		p.queueList(), p.queueShow(),
		p.decision(queue.Retry, p.say.T("try again now; what was held is queued again")),
		p.decision(queue.Hold, p.say.T("take out of the queue until somebody decides")),
		p.decision(queue.Release, p.say.T("put what was held back into the queue")),
		p.decision(queue.Bounce, p.say.T("send back to the sender, who reads the reason; what may not go back is held")),
		p.decision(queue.Discard, p.say.T("end deliveries for ever: they are not handed over")))
}

// choiceFlags adds the flags that choose deliveries.
func (p *program) choiceFlags(c *cobra.Command, o *control.Choice) {
	f := c.Flags()
	f.StringVar(&o.State, "state", "", p.say.T("only those in this `state`: queued or held"))
	f.StringVar(&o.Tenant, "tenant", "", p.say.T("only those of this `tenant`"))
	f.StringVar(&o.Route, "route", "", p.say.T("only those on this `route`"))
	f.StringVar(&o.Domain, "domain", "", p.say.T("only those to this `domain` of the Internet"))
	f.StringVar(&o.To, "to", "", p.say.T("only those for the mailbox with this `address`"))
	f.StringVar(&o.Group, "group", "", p.say.T("only those of this `group`, as queue list --grouped names it"))
}

// firstOnes is how many deliveries a person sees who does not ask for more.
const firstOnes = 50

func (p *program) queueList() *cobra.Command {
	var o control.Choice
	var limit int
	var grouped bool
	var c *cobra.Command
	c = p.command("list [flags]", p.say.T("show what is queued or held, oldest first"), p.exactly(0), func(ctx context.Context, _ []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		if grouped {
			return p.groups(ctx, client, o)
		}
		if limit < 0 {
			return usage(p.say.T("--limit is 0 or more"))
		}
		if p.json {
			if !c.Flags().Changed("limit") {
				limit = 0 // a program that reads this must not miss any
			}
			return client.Queue(ctx, o, limit, func(w control.Waiting) error { return p.object(w) })
		}
		ask := limit
		if ask > 0 {
			ask++ // one more tells whether there are more
		}
		var t table
		n := 0
		err = client.Queue(ctx, o, ask, func(w control.Waiting) error {
			if n++; limit == 0 || n <= limit {
				t.row(w.Message.String()+"/"+strconv.Itoa(w.N), p.waits(w), p.clock(w.Received), w.Recipient, w.Route, p.ends(w.Held), p.say.Known(w.Reply))
			}
			return nil
		})
		if err != nil {
			return err
		}
		switch {
		case n == 0:
			p.print(p.say.T("Nothing waits."))
		case limit > 0 && n > limit:
			p.print(t.String())
			p.print(p.say.T("These are the %d oldest; --limit 0 shows all.", limit))
		default:
			p.print(t.String())
		}
		return p.flows(ctx, client)
	})
	p.choiceFlags(c, &o)
	c.Flags().BoolVar(&grouped, "grouped", false, p.say.T("show what is held, or was tried without success, by route, reason and words of the next server, the most first"))
	c.Flags().IntVar(&limit, "limit", firstOnes, p.say.T("at most so `many`; 0 for all, which is the default with --json"))
	return c
}

func (p *program) queueShow() *cobra.Command {
	return p.command("show ID|RECEIPT|ID/N", p.say.T("show what waits of one message, with the next server's last words"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			n := 0
			err = client.Queue(ctx, control.Choice{ID: args[0]}, 0, func(w control.Waiting) error {
				n++
				if p.json {
					return p.object(w)
				}
				p.waiting(w)
				return nil
			})
			if err != nil || n > 0 {
				return err
			}
			if !p.json {
				p.print(p.say.T("Nothing of it waits. Its story: doppelboden message show %s", say.Plain(args[0])))
			}
			return errNo
		})
}

// waiting shows one delivery in full.
func (p *program) waiting(w control.Waiting) {
	next := p.clock(w.Next)
	if w.Next.Before(p.now()) {
		next = p.say.T("when it is its turn")
	}
	if w.Scan == "unscanned" {
		next = p.say.T("when a scanner has seen it")
	}
	if w.State == "held" {
		next = p.say.T("when somebody decides")
		if w.Held != nil && !w.Held.Person {
			next = p.ends(w.Held)
		}
	}
	var t table
	t.row(p.say.T("delivery"), w.Message.String()+"/"+strconv.Itoa(w.N))
	t.row(p.say.T("receipt"), w.Receipt.String())
	t.row(p.say.T("state"), p.waits(w)+" ("+p.clock(w.Changed)+")")
	t.row(p.say.T("from"), p.sender(w.Sender))
	t.row(p.say.T("to"), w.Recipient)
	t.row(p.say.T("route"), w.Route)
	t.row(p.say.T("received"), p.clock(w.Received))
	t.row(p.say.T("size"), p.bytes(w.Size))
	t.row(p.say.T("attempts"), p.say.Number(int64(w.Attempts)))
	t.row(p.say.T("next attempt"), next)
	if w.Reply != "" {
		t.row(p.say.T("last reply"), p.say.Known(w.Reply))
	}
	p.whyHeld(&t, w.Held)
	p.print(t.String())
}

// decision makes the command of one verb.
func (p *program) decision(verb queue.Verb, short string) *cobra.Command {
	var o control.Choice
	var all, malware, preview bool
	var yes int
	var why string
	use := string(verb) + " ID|RECEIPT|ID/N … | flags"
	c := p.command(use, short, cobra.ArbitraryArgs, func(ctx context.Context, ids []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		choices, err := p.choices(ids, o, all)
		if err != nil {
			return err
		}
		if o.Group != "" {
			return p.decideGroup(ctx, client, control.Decision{Verb: verb, Choice: o, Why: why, Malware: malware, Preview: preview, Yes: yes})
		}
		if preview || yes != 0 {
			return usage(p.say.T("--preview and --yes go with --group"))
		}
		var sum control.Decided
		for _, one := range choices {
			got, err := client.Decide(ctx, control.Decision{Verb: verb, Choice: one, Why: why, Malware: malware})
			if err != nil {
				return err
			}
			if sum.Kept == 0 {
				sum.Why = got.Why
			}
			sum.Changed, sum.Kept = sum.Changed+got.Changed, sum.Kept+got.Kept
			sum.By = got.By
			sum.Quarantined += got.Quarantined
		}
		if p.json {
			err = p.object(sum)
		} else {
			p.print(p.say.T("%d deliveries changed.", sum.Changed))
			if sum.Quarantined > 0 {
				p.print(p.say.T("In quarantine because of malware, and left there: %d. Who is sure writes: doppelboden queue release --malware", sum.Quarantined))
			}
			if sum.Kept > 0 {
				p.print(p.say.T("May not go back and are held: %d. The first: %s", sum.Kept, say.Plain(sum.Why)))
			}
		}
		if err == nil && sum.Changed == 0 {
			err = errNo
		}
		return err
	})
	p.choiceFlags(c, &o)
	c.Flags().BoolVar(&all, "all", false, p.say.T("all that waits"))
	c.Flags().BoolVar(&preview, "preview", false, p.say.T("with --group: only say what it would do"))
	c.Flags().IntVar(&yes, "yes", 0, p.say.T("with --group: the `number` of deliveries that the preview told"))
	c.Flags().StringVar(&why, "why", "", p.say.T("the `reason`; the ledger keeps it"))
	if verb == queue.Release {
		c.Flags().BoolVar(&malware, "malware", false, p.say.T("also what is in quarantine because of malware; the ledger keeps who did it"))
	}
	if verb == queue.Discard || verb == queue.Bounce {
		p.require(c, "why")
	}
	return c
}

// choices makes sure that a person says exactly what a decision is about.
func (p *program) choices(ids []string, o control.Choice, all bool) ([]control.Choice, error) {
	byFlags := o != control.Choice{}
	switch {
	case len(ids) > 0 && (byFlags || all):
		return nil, usage(p.say.T("write ids or flags, not both"))
	case byFlags && all:
		return nil, usage(p.say.T("--all does not go with flags that choose some"))
	case len(ids) == 0 && !byFlags && !all:
		return nil, usage(p.say.T("say which: ids of messages, --to, --route, --tenant, --state, --group or --all"))
	case len(ids) == 0:
		return []control.Choice{o}, nil
	}
	choices := make([]control.Choice, len(ids))
	for i, id := range ids {
		choices[i].ID = id
	}
	return choices, nil
}
