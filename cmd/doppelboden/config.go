package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/say"
	"doppelboden/setup"
)

func (p *program) configCommand() *cobra.Command {
	return p.group("config", p.say.T("check and change the configuration"),
		p.configCheck(), p.configPlan(), p.configApply(), p.configHistory(), p.configShow(), p.configRollback())
}

func (p *program) configCheck() *cobra.Command {
	return p.command("check FILE", p.say.T("look for mistakes in a city.toml (or in a file named node.toml); with --node also for what the running node would refuse"),
		p.exactly(1), func(ctx context.Context, args []string) error {
			text, err := p.readFile(args[0])
			if err != nil {
				return err
			}
			if filepath.Base(args[0]) == setup.NodeFile {
				if _, err = city.ParseNode(args[0], text); err == nil {
					err = p.good("")
				}
				return err
			}
			if _, err := city.Parse(args[0], text); err != nil {
				return err
			}
			if p.node == "" && p.getenv("DOPPELBODEN_NODE") == "" {
				return p.good(p.say.T("It was checked by itself; with --node it is also compared with what is in use."))
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			_, err = client.PlanConfig(ctx, args[0], text)
			if errors.Is(err, control.ErrUnreachable) {
				return p.good(p.say.T("It was checked by itself; the node is not running, so it could not be compared with what is in use."))
			}
			if err != nil {
				return err
			}
			return p.good(p.say.T("What it would change: doppelboden config plan %s", say.Plain(args[0])))
		})
}

// good says that a file has no mistakes.
func (p *program) good(besides string) error {
	if p.json {
		return p.object(struct {
			Mistakes []city.Mistake `json:"mistakes"`
		}{[]city.Mistake{}})
	}
	p.print(p.say.T("No mistakes."))
	if besides != "" {
		p.print(besides)
	}
	return nil
}

func (p *program) configPlan() *cobra.Command {
	return p.command("plan FILE", p.say.T("say what a city.toml would change, and for how many mailboxes; nothing is changed"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			text, err := p.readFile(args[0])
			if err != nil {
				return err
			}
			planned, err := client.PlanConfig(ctx, args[0], text)
			if err != nil {
				return err
			}
			return p.planned(planned, "config apply "+args[0])
		})
}

// planned tells a plan, and by which command it is carried out.
func (p *program) planned(planned control.Planned, command string) error {
	if p.json {
		return p.object(planned)
	}
	p.changes(planned.Changes)
	p.moves(planned)
	if len(planned.Dateless) > 0 {
		p.print(p.say.T("Routes without [tenant.route.imap]: %s. After an outage their mail arrives with the date of its hand-over, and out-of-office replies go to its senders.", strings.Join(planned.Dateless, ", ")))
	}
	if planned.Confirm > 0 {
		command += " --yes " + strconv.Itoa(planned.Confirm)
	}
	p.print(p.say.T("Nothing was changed. To do it: doppelboden %s", say.Plain(command)))
	return nil
}

// moves says for how many mailboxes a plan has consequences.
func (p *program) moves(planned control.Planned) {
	if planned.Moves > 0 {
		p.print(p.say.T("Mailboxes whose mail goes elsewhere or is no longer taken: %d of %d.", planned.Moves, planned.Mailboxes))
	}
}

func (p *program) configApply() *cobra.Command {
	var yes int
	c := p.command("apply FILE [--yes N]", p.say.T("make a city.toml the one in use; when many mailboxes would move, only if the number is repeated"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			text, err := p.readFile(args[0])
			if err != nil {
				return err
			}
			planned, err := client.ApplyConfig(ctx, args[0], text, yes)
			if err != nil {
				return err
			}
			return p.applied(planned, "config apply "+args[0])
		})
	p.yesFlag(c, &yes)
	return c
}

// yesFlag adds the flag that repeats a number.
func (p *program) yesFlag(c *cobra.Command, yes *int) {
	c.Flags().IntVar(yes, "yes", 0, p.say.T("the `number` of mailboxes that it concerns, as the plan says it"))
}

// applied says what an application did, or that it needs a number.
func (p *program) applied(planned control.Planned, command string) error {
	if planned.Confirm > 0 {
		if err := p.planned(planned, command); err != nil {
			return err
		}
		return errNo
	}
	if p.json {
		return p.object(planned)
	}
	p.print(p.say.T("Version %s is in use.", strconv.FormatInt(planned.Version, 10)))
	p.changes(planned.Changes)
	p.moves(planned)
	return nil
}

func (p *program) configHistory() *cobra.Command {
	return p.command("history", p.say.T("list the versions of the configuration, the newest first: who, when, what changed"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			return client.ConfigHistory(ctx, func(v control.Version) error {
				if p.json {
					return p.object(v)
				}
				p.version(v)
				return nil
			})
		})
}

// version tells one version.
func (p *program) version(v control.Version) {
	number := strconv.FormatInt(v.Version, 10)
	line := p.say.T("Version %s of %s by %s", number, p.clock(v.At), say.Plain(v.By))
	if v.Again != 0 {
		line += ", " + p.say.T("back to version %s", strconv.FormatInt(v.Again, 10))
	}
	if v.InUse {
		line += ", " + p.say.T("in use")
	}
	p.print(line)
	for _, c := range v.Changes {
		p.print("- " + p.change(c))
	}
}

func (p *program) configShow() *cobra.Command {
	return p.command("show [VERSION]", p.say.T("print the city.toml of a version, or the one in use"), cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error {
			var number int64
			if len(args) > 0 {
				var err error
				if number, err = p.versionNumber(args[0]); err != nil {
					return err
				}
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			v, err := client.ConfigText(ctx, number)
			if err != nil {
				return err
			}
			if p.json {
				return p.object(v)
			}
			if _, err := fmt.Fprint(p.out, v.Text); err != nil {
				return fmt.Errorf("write the answer: %w", err)
			}
			return nil
		})
}

// versionNumber reads a version's number.
func (p *program) versionNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, usage(p.say.T("a version is a number from 1; see: doppelboden config history"))
	}
	return n, nil
}

func (p *program) configRollback() *cobra.Command {
	var yes int
	var plan bool
	c := p.command("rollback VERSION [--plan] [--yes N]", p.say.T("make the text of an older version the one in use, as a new version"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			number, err := p.versionNumber(args[0])
			if err != nil {
				return err
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			planned, err := client.RollBackConfig(ctx, number, yes, !plan)
			if err != nil {
				return err
			}
			command := "config rollback " + strconv.FormatInt(number, 10)
			if plan {
				return p.planned(planned, command)
			}
			return p.applied(planned, command)
		})
	p.yesFlag(c, &yes)
	c.Flags().BoolVar(&plan, "plan", false, p.say.T("only say what it would change"))
	return c
}

// changes says in words what a configuration makes different.
func (p *program) changes(all []control.Change) {
	if len(all) == 0 {
		p.print(p.say.T("It changes nothing."))
	}
	for _, c := range all {
		p.print("- " + p.change(c))
	}
}

func (p *program) change(c control.Change) string {
	tenant, name, from, to := say.Plain(c.Tenant), say.Plain(c.Name), say.Plain(c.From), say.Plain(c.To)
	switch c.What {
	case "tenant added":
		return p.say.T("tenant %s is new", tenant)
	case "tenant removed":
		return p.say.T("tenant %s is gone; mailboxes of it: %d", tenant, c.Count)
	case "domain added":
		return p.say.T("%s: mail for %s is taken", tenant, name)
	case "domain removed":
		return p.say.T("%s: mail for %s is no longer taken; mailboxes in it: %d", tenant, name, c.Count)
	case "route added":
		return p.say.T("%s: route %s is new: %s; mailboxes that go by it: %d", tenant, name, to, c.Count)
	case "route changed":
		return p.say.T("%s: route %s changes from %s to %s; mailboxes that go by it: %d", tenant, name, from, to, c.Count)
	case "route removed":
		return p.say.T("%s: route %s is gone: %s; mailboxes that went by it: %d", tenant, name, from, c.Count)
	case "mailboxes moved":
		return p.say.T("%s: mail goes by route %s instead of %s; mailboxes: %d", tenant, to, from, c.Count)
	case "mailboxes left":
		return p.say.T("%s: mail that went by route %s is refused; mailboxes: %d", tenant, from, c.Count)
	case "mailboxes stay":
		return p.say.T("%s: mailboxes that somebody moved to route %s stay there: %d", tenant, to, c.Count)
	case "postmaster changed":
		return p.say.T("%s: the postmaster is %s instead of %s", tenant, to, from)
	case "setting added":
		return p.say.T("%s is new: %s", name, to)
	case "setting changed":
		return p.say.T("%s is %s instead of %s", name, to, from)
	case "setting removed":
		return p.say.T("%s is gone: %s", name, from)
	}
	return say.Plain(c.What)
}
