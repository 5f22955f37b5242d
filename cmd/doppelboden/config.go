package main

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/say"
	"doppelboden/setup"
)

func (p *program) configCommand() *cobra.Command {
	return p.group("config", p.say.T("check and change the configuration"), p.configCheck(), p.configApply())
}

func (p *program) configCheck() *cobra.Command {
	return p.command("check FILE", p.say.T("check a city.toml (or a file named node.toml) and say what it would change; nothing is changed"),
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
			planned, err := client.CheckConfig(ctx, args[0], text)
			if errors.Is(err, control.ErrUnreachable) {
				return p.good(p.say.T("It was checked by itself; the node is not running, so it could not be compared with what is in use."))
			}
			if err != nil {
				return err
			}
			if p.json {
				return p.object(planned)
			}
			p.print(p.say.T("No mistakes."))
			p.changes(planned.Changes)
			return nil
		})
}

// good says that a file has no mistakes.
func (p *program) good(besides string) error {
	if p.json {
		return p.object(control.Planned{Changes: []control.Change{}})
	}
	p.print(p.say.T("No mistakes."))
	if besides != "" {
		p.print(besides)
	}
	return nil
}

func (p *program) configApply() *cobra.Command {
	return p.command("apply FILE", p.say.T("make a city.toml the one in use"), p.exactly(1), func(ctx context.Context, args []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		text, err := p.readFile(args[0])
		if err != nil {
			return err
		}
		planned, err := client.ApplyConfig(ctx, args[0], text)
		if err != nil {
			return err
		}
		if p.json {
			return p.object(planned)
		}
		p.print(p.say.T("Version %s is in use.", strconv.FormatInt(planned.Version, 10)))
		p.changes(planned.Changes)
		return nil
	})
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
		return p.say.T("tenant %s is gone", tenant)
	case "domain added":
		return p.say.T("%s: mail for %s is taken", tenant, name)
	case "domain removed":
		return p.say.T("%s: mail for %s is no longer taken; mailboxes in it: %d", tenant, name, c.Count)
	case "route added":
		return p.say.T("%s: route %s is new: %s", tenant, name, to)
	case "route changed":
		return p.say.T("%s: route %s changes from %s to %s", tenant, name, from, to)
	case "route removed":
		return p.say.T("%s: route %s is gone: %s", tenant, name, from)
	case "mailboxes moved":
		return p.say.T("%s: mail goes by route %s instead of %s; mailboxes: %d", tenant, to, from, c.Count)
	case "postmaster changed":
		return p.say.T("%s: the postmaster is %s instead of %s", tenant, to, from)
	case "retention changed":
		return p.say.T("mail is kept for %s days instead of %s", to, from)
	}
	return say.Plain(c.What)
}
