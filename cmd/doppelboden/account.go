package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/control"
	"doppelboden/say"
)

func (p *program) accountCommand() *cobra.Command {
	return p.group("account", p.say.T("how people log in without their directory"),
		p.accountCodes(), p.accountReadiness(), p.accountShow(), p.accountRevoke(), p.accountRole(), p.accountDoors())
}

// whomFlags are how commands name people.
func (p *program) whomFlags(c *cobra.Command, w *control.Whom) {
	f := c.Flags()
	f.StringSliceVar(&w.Person, "person", nil, p.say.T("the `address` of a person; may be given several times"))
	f.StringVar(&w.Department, "department", "", p.say.T("everybody of this `department`"))
	f.BoolVar(&w.All, "all", false, p.say.T("everybody"))
	p.tenantFlag(c, &w.Tenant)
}

// checkWhom makes sure that people are named in one way.
func (p *program) checkWhom(w control.Whom) error {
	ways := 0
	for _, so := range []bool{len(w.Person) > 0, w.Department != "", w.All} {
		if so {
			ways++
		}
	}
	if ways != 1 {
		return usage(p.say.T("say for whom: --person, --department or --all"))
	}
	return nil
}

func (p *program) accountCodes() *cobra.Command {
	var asked control.CodesAsked
	var file, number string
	var sms bool
	c := p.command("codes --person ADDRESS|--department NAME|--all --pdf FILE | --person ADDRESS --sms [flags]",
		p.say.T("make codes with which people set a password; older sheets of theirs are good no longer"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			if err := p.checkWhom(asked.Whom); err != nil {
				return err
			}
			if sms || number != "" {
				return p.sendCodes(ctx, asked, number)
			}
			if file == "" && !p.json {
				return usage(p.say.T("say where the sheets go: --pdf FILE, --sms or --json"))
			}
			return p.printCodes(ctx, asked, file)
		})
	p.whomFlags(c, &asked.Whom)
	f := c.Flags()
	f.StringVar(&file, "pdf", "", p.say.T("a new `file` for the sheets, one page for each person"))
	f.BoolVar(&asked.Keep, "keep", false, p.say.T("older sheets stay good"))
	f.BoolVar(&sms, "sms", false, p.say.T("with --person: send the code to the telephone that the directory knows"))
	f.StringVar(&number, "number", "", p.say.T("with --person: send the code to this `telephone number`"))
	return c
}

// printCodes makes sheets and writes them into a file that only its owner can read.
func (p *program) printCodes(ctx context.Context, asked control.CodesAsked, file string) (err error) {
	client, err := p.client()
	if err != nil {
		return err
	}
	var out *os.File
	if file != "" {
		// Before the codes: a file that cannot be written must not cost anybody her old sheet.
		if out, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return fmt.Errorf("write the sheets: %w", err)
		}
		defer func() {
			if err = errors.Join(err, out.Close()); err != nil {
				_ = os.Remove(file) // half a document is of no use
			}
		}()
	}
	var sheets []account.Sheet
	err = client.Codes(ctx, asked, func(s control.Sheet) error {
		if p.json {
			return p.object(s)
		}
		a, err := doppelboden.ParseAddress(s.Address)
		if err != nil {
			return err
		}
		sheets = append(sheets, account.Sheet{Code: s.Code, Until: s.Until, Page: s.Page,
			Person: account.Person{Address: a, Name: s.Name, Department: s.Department, Language: s.Language}})
		return nil
	})
	if err != nil || out == nil {
		return err
	}
	var pdf bytes.Buffer
	if err := account.PrintSheets(&pdf, sheets, time.Now()); err != nil {
		return err
	}
	if _, err := out.Write(pdf.Bytes()); err != nil {
		return fmt.Errorf("write the sheets: %w", err)
	}
	p.print(p.say.T("%d sheets are in %s. Print them, hand them out sealed, and delete the file.", len(sheets), say.Plain(file)))
	return nil
}

// sendCodes sends codes to telephones, and goes on when one cannot be reached.
func (p *program) sendCodes(ctx context.Context, asked control.CodesAsked, number string) error {
	if len(asked.Person) == 0 || number != "" && len(asked.Person) != 1 {
		return usage(p.say.T("SMS go to single people: --person, and --number for one of them"))
	}
	client, err := p.client()
	if err != nil {
		return err
	}
	var last error
	for _, person := range asked.Person {
		err := client.SendCode(ctx, control.Text{Person: person, Number: number})
		switch {
		case errors.Is(err, control.ErrUnreachable):
			return err
		case err != nil:
			if last != nil {
				p.report(last)
			}
			last = err
			fmt.Fprintln(p.err, p.say.T("%s gets no SMS. A sheet does the same: doppelboden account codes --person %s --pdf FILE", say.Plain(person), say.Plain(person)))
			continue
		}
		if !p.json {
			p.print(p.say.T("%s gets an SMS with a code that is good for half an hour.", say.Plain(person)))
		}
	}
	return last
}

func (p *program) accountShow() *cobra.Command {
	return p.command("show ADDRESS", p.say.T("show how a person logs in, and which mailboxes she may open"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			got, err := client.Account(ctx, args[0])
			if err != nil {
				return err
			}
			if p.json {
				return p.object(got)
			}
			p.print(say.Plain(strings.TrimSpace(got.Name + " <" + got.Address + "> " + got.Department)))
			var t table
			for _, w := range got.Ways {
				state := p.say.T("good")
				switch {
				case w.Why != "":
					state = p.wayEnd(w.Why) + " " + p.clock(w.Ended)
				case !w.Until.IsZero():
					state = p.say.T("good until %s", p.clock(w.Until))
				}
				t.row("  "+strconv.FormatInt(w.ID, 10), p.wayKind(w.Kind), w.Label, p.clock(w.Made), state)
			}
			if len(got.Ways) > 0 {
				p.print(t.String())
			} else {
				p.print(p.say.T("  nothing yet: doppelboden account codes --person %s", got.Address))
			}
			for _, m := range got.Mailboxes {
				p.print("  " + p.memberLine(m.Mailbox, m))
			}
			for _, r := range got.Roles {
				p.print("  " + p.role(r))
			}
			return nil
		})
}

// wayKind names one of the things by which people log in.
func (p *program) wayKind(kind string) string {
	switch kind {
	case "password":
		return p.say.T("password")
	case "directory":
		return p.say.T("password of the directory")
	case "totp":
		return p.say.T("one-time password")
	case "passkey":
		return p.say.T("passkey")
	case "app":
		return p.say.T("password of a program")
	case "sheet":
		return p.say.T("code on a sheet")
	case "sms":
		return p.say.T("code by SMS")
	case "vouch":
		return p.say.T("code of a head")
	}
	return say.Plain(kind)
}

// wayEnd says why one has ended.
func (p *program) wayEnd(why string) string {
	switch why {
	case "spent":
		return p.say.T("used")
	case "replaced":
		return p.say.T("replaced")
	case "revoked":
		return p.say.T("revoked")
	case "void":
		return p.say.T("void")
	}
	return say.Plain(why)
}

func (p *program) accountRevoke() *cobra.Command {
	var w control.Whom
	var way int64
	var everything bool
	c := p.command("revoke --person ADDRESS|--department NAME|--all [--way NUMBER|--everything]",
		p.say.T("withdraw codes that nobody has used yet, or one way by which a person logs in, or every way of hers"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			if err := p.checkWhom(w); err != nil {
				return err
			}
			if (way != 0 || everything) && len(w.Person) != 1 {
				return usage(p.say.T("--way and --everything go with one --person"))
			}
			if way != 0 && everything {
				return usage(p.say.T("--way and --everything exclude each other"))
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			if way != 0 {
				if err := client.RevokeWay(ctx, w.Person[0], way); err != nil || p.json {
					return err
				}
				p.print(p.say.T("Revoked. Her sessions have ended."))
				return nil
			}
			if everything {
				return p.revokeAll(ctx, client, w.Person[0])
			}
			n, err := client.RevokeCodes(ctx, w)
			if err != nil {
				return err
			}
			if p.json {
				return p.object(struct {
					Revoked int `json:"revoked"`
				}{n})
			}
			p.print(p.say.T("%d codes are good no longer.", n))
			return nil
		})
	p.whomFlags(c, &w)
	c.Flags().Int64Var(&way, "way", 0, p.say.T("the `number` that account show tells: a password, a passkey, a program"))
	c.Flags().BoolVar(&everything, "everything", false, p.say.T("her password, programs, passkeys and codes: when somebody else has got in"))
	return c
}

// revokeAll ends everything by which a person logs in.
func (p *program) revokeAll(ctx context.Context, client *control.Client, person string) error {
	ended, err := client.RevokeAll(ctx, person)
	if err != nil {
		return err
	}
	if p.json {
		return p.object(ended)
	}
	p.print(p.say.T("Her password, her sessions, programs (%d), passkeys (%d) and unused codes (%d) have ended.", ended.Apps, ended.Passkeys, ended.Codes))
	if ended.Directory {
		p.print(p.say.T("Her password at work still lets in while the directory answers. Have it changed there too."))
	}
	p.print(p.say.T("A new code for her: doppelboden account codes --person %s", say.Plain(person)))
	return nil
}

func (p *program) accountRole() *cobra.Command {
	var r control.Role
	var tenant string
	c := p.command("role [ADDRESS --head DEPARTMENT|--admin [--remove]]",
		p.say.T("show who may vouch for whom, or give a person a role: heads vouch for their department, admins for everybody"), p.atMost(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return client.Roles(ctx, tenant, func(r control.Role) error {
					if p.json {
						return p.object(r)
					}
					p.print(say.Plain(r.Person) + "  " + p.role(r))
					return nil
				})
			}
			asked := r
			asked.Person = args[0]
			switch {
			case asked.Role == "admin" && asked.Department != "", asked.Role == "" && asked.Department == "":
				return usage(p.say.T("say which role: --head DEPARTMENT or --admin"))
			case asked.Department != "":
				asked.Role = account.RoleHead
			}
			if err := client.ChangeRole(ctx, asked); err != nil || p.json {
				return err
			}
			p.print(p.say.T("Done."))
			return nil
		})
	f := c.Flags()
	f.StringVar(&r.Department, "head", "", p.say.T("she is head of this `department`"))
	admin := f.Bool("admin", false, p.say.T("she is an administrator"))
	c.PreRun = func(*cobra.Command, []string) {
		if *admin {
			r.Role = account.RoleAdmin
		}
	}
	f.BoolVar(&r.Remove, "remove", false, p.say.T("take the role from her"))
	p.tenantFlag(c, &tenant)
	return c
}

// role names a role.
func (p *program) role(r control.Role) string {
	if r.Role == account.RoleHead {
		return p.say.T("head of %s", say.Plain(r.Department))
	}
	return p.say.T("administrator")
}

func (p *program) accountDoors() *cobra.Command {
	var tenant, until string
	var shut bool
	c := p.command("doors --until TIME|--close", p.say.T("open the doors for a drill or to enrol where city.toml opens them in events only"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			if (until == "") == !shut {
				return usage(p.say.T("write --until or --close"))
			}
			at, err := p.parseTime(until)
			if err != nil {
				return err
			}
			if shut {
				at = time.Now()
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			if err := client.OpenDoors(ctx, control.Doors{Tenant: tenant, Until: at}); err != nil || p.json {
				return err
			}
			p.print(p.say.T("Done."))
			return nil
		})
	p.tenantFlag(c, &tenant)
	c.Flags().StringVar(&until, "until", "", p.say.T("open until this `time`"))
	c.Flags().BoolVar(&shut, "close", false, p.say.T("close them now"))
	return c
}
