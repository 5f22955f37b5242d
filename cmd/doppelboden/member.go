package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"doppelboden/account"
	"doppelboden/control"
	"doppelboden/say"
)

func (p *program) mailboxMember() *cobra.Command {
	return p.members("member ADDRESS [--add PERSON] [--remove PERSON]", p.say.T("show or change to whom the mailbox of a function belongs"), account.GrantFunction)
}

func (p *program) mailboxDeputy() *cobra.Command {
	return p.members("deputy ADDRESS [--add PERSON --until TIME] [--remove PERSON]", p.say.T("show or change who may open a mailbox for a time"), account.GrantDeputy)
}

// members makes a command that shows and changes who may open a mailbox.
func (p *program) members(use, short, kind string) *cobra.Command {
	var add, remove []string
	var until string
	c := p.command(use, short, p.exactly(1), func(ctx context.Context, args []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		var end time.Time
		if end, err = p.parseTime(until); err != nil {
			return err
		}
		if kind == account.GrantDeputy && len(add) > 0 && end.IsZero() {
			return usage(p.say.T("%s is needed", "--until"))
		}
		var list []control.Member
		for _, person := range remove {
			list = append(list, control.Member{Mailbox: args[0], Person: person, Kind: kind, Remove: true})
		}
		for _, person := range add {
			list = append(list, control.Member{Mailbox: args[0], Person: person, Kind: kind, Until: end})
		}
		if len(list) > 0 {
			if err := client.ChangeMembers(ctx, list); err != nil {
				return err
			}
		}
		return client.Members(ctx, args[0], func(m control.Member) error {
			if p.json {
				return p.object(m)
			}
			p.print(p.memberLine(m.Person, m))
			return nil
		})
	})
	f := c.Flags()
	f.StringSliceVar(&add, "add", nil, p.say.T("the `address` of a person who may open it; may be given several times"))
	f.StringSliceVar(&remove, "remove", nil, p.say.T("the `address` of a person who may no longer"))
	f.StringVar(&until, "until", "", p.say.T("only until this `time`"))
	return c
}

// memberLine shows who may open a mailbox, and how long.
func (p *program) memberLine(who string, m control.Member) string {
	line := say.Plain(who) + "  "
	switch {
	case m.Listed:
		return line + p.say.T("listed by the directory")
	case m.Kind == account.GrantDeputy:
		return line + p.say.T("deputy until %s", p.clock(m.Until))
	case !m.Until.IsZero():
		return line + p.say.T("member until %s", p.clock(m.Until))
	}
	return line + p.say.T("member")
}

// readPassword reads a password from the first line of standard input.
func (p *program) readPassword() (string, error) {
	const most = 1024
	text, err := io.ReadAll(io.LimitReader(p.in, most))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password, _, _ := strings.Cut(string(text), "\n")
	password = strings.TrimSuffix(password, "\r")
	if password == "" {
		return "", usage(p.say.T("standard input holds no password"))
	}
	return password, nil
}
