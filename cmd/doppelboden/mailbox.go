package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden"
	"doppelboden/control"
)

func (p *program) mailboxCommand() *cobra.Command {
	return p.group("mailbox", p.say.T("the mailboxes for which mail is taken"),
		p.mailboxAdd(), p.mailboxImport(), p.mailboxList(), p.mailboxShow(), p.mailboxRemove(), p.mailboxRefresh(), p.mailboxAssign(), p.mailboxMode(), p.mailboxDeeds(), p.mailboxCoverage(), p.mailboxSync(), p.mailboxMember(), p.mailboxDeputy())
}

func (p *program) mailboxAdd() *cobra.Command {
	var m control.Mailbox
	var secret bool
	c := p.command("add ADDRESS [flags]", p.say.T("add a mailbox, or change the one with this address"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			m.Address = args[0]
			var password string
			if secret {
				if password, err = p.readPassword(); err != nil {
					return err
				}
			}
			got, err := client.AddMailbox(ctx, m)
			if err != nil {
				return err
			}
			if secret {
				if err := client.SetPassword(ctx, control.Secret{Person: got.Address, Password: password}); err != nil {
					return err
				}
			}
			if p.json {
				return p.object(got)
			}
			if got.Kind == string(doppelboden.List) {
				p.print(p.say.T("%s is a list. See who gets its mail: doppelboden mailbox show %s", got.Address, got.Address))
				return nil
			}
			p.print(p.say.T("%s takes mail; it goes by route %s.", got.Address, got.Route))
			return nil
		})
	f := c.Flags()
	f.StringVar(&m.Name, "name", "", p.say.T("the `name` for people"))
	f.StringVar(&m.Kind, "kind", string(doppelboden.Person), p.say.T("the `kind`: person, function or list"))
	f.StringVar(&m.Department, "department", "", p.say.T("the `department`"))
	f.StringVar(&m.Building, "building", "", p.say.T("the `building`"))
	f.StringVar(&m.Phone, "phone", "", p.say.T("the mobile `number` for SMS in an emergency"))
	f.IntVar(&m.Priority, "priority", doppelboden.DefaultPriority, p.say.T("`0 to 9`; 9 is handed over first"))
	f.StringSliceVar(&m.Members, "member", nil, p.say.T("the `address` of a member of the list, or of somebody to whom the mailbox of a function belongs; may be given several times"))
	f.BoolVar(&m.Closed, "closed", false, p.say.T("the list takes no mail from strangers"))
	f.BoolVar(&secret, "password-stdin", false, p.say.T("of a person: read her password for emergencies from standard input"))
	f.StringSliceVar(&m.Aliases, "alias", nil, p.say.T("another `address` of the same mailbox; may be given several times"))
	return c
}

func (p *program) mailboxImport() *cobra.Command {
	return p.command("import FILE.csv", p.say.T("add or change all mailboxes of a list (address,name,kind,department,priority,aliases,members,building,phone); one with a mistake changes nothing; - reads standard input"),
		p.exactly(1), func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			list, err := p.readFile(args[0])
			if err != nil {
				return err
			}
			got, err := client.ImportMailboxes(ctx, args[0], list)
			if err != nil {
				return err
			}
			if p.json {
				return p.object(got)
			}
			p.print(p.say.T("%d mailboxes, of which %d are new.", got.Mailboxes, got.New))
			if got.Encoding != "UTF-8" {
				p.print(p.say.T("The list was read as %s. Please look at some umlauts: doppelboden mailbox list", got.Encoding))
			}
			return nil
		})
}

func (p *program) mailboxList() *cobra.Command {
	var gone bool
	var tenant string
	c := p.command("list [--gone]", p.say.T("show all mailboxes and lists"), p.exactly(0), func(ctx context.Context, _ []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		var t table
		n := 0
		err = client.Mailboxes(ctx, tenant, func(m control.Mailbox) error {
			if !m.Gone.IsZero() && !gone {
				return nil
			}
			n++
			if p.json {
				return p.object(m)
			}
			t.row(m.Address, m.Name, p.kind(m.Kind), m.Department, m.Building, strconv.Itoa(m.Priority), m.Route, strings.Join(m.Aliases, " "))
			return nil
		})
		if err != nil || p.json {
			return err
		}
		if n > 0 {
			p.print(t.String())
		}
		p.print(p.say.T("%d mailboxes", n))
		return nil
	})
	p.tenantFlag(c, &tenant)
	c.Flags().BoolVar(&gone, "gone", false, p.say.T("also those that take no mail any more"))
	return c
}

// kind names a mailbox's kind.
func (p *program) kind(k string) string {
	switch k {
	case string(doppelboden.Function):
		return p.say.T("function")
	case string(doppelboden.List):
		return p.say.T("list")
	}
	return p.say.T("person")
}

// readFile reads a file that a person names; "-" is standard input.
func (p *program) readFile(name string) ([]byte, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(p.in)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	return text, nil
}
