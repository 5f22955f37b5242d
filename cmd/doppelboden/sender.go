package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/disk"
	"doppelboden/sender"
)

func (p *program) senderCommand() *cobra.Command {
	return p.group("sender", p.say.T("who sends through this installation"), p.senderList(), p.senderPassword())
}

func (p *program) senderList() *cobra.Command {
	return p.command("list", p.say.T("show the senders of the configuration and how each is known"), p.exactly(0), func(ctx context.Context, _ []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		var t table
		t.row(p.say.T("sender"), p.say.T("owner"), p.say.T("department"), p.say.T("known by"), p.say.T("writes as"))
		err = client.Senders(ctx, func(s control.Sender) error {
			if p.json {
				return p.object(s)
			}
			t.row(s.Tenant+"/"+s.Name, s.Owner, s.Department, strings.Join(s.KnownBy, " "), strings.Join(s.From, " "))
			return nil
		})
		if err != nil || p.json {
			return err
		}
		if len(t.rows) == 1 {
			p.print(p.say.T("There are no senders: write [[tenant.sender]] in city.toml."))
			return nil
		}
		p.print(strings.TrimRight(t.String(), "\n"))
		return nil
	})
}

// mostPassword bounds a password that somebody chose, in bytes.
const mostPassword = 1024

func (p *program) senderPassword() *cobra.Command {
	var stdin bool
	c := p.command("password FILE", p.say.T("make a password, write its hash into a file for password_file, and show the password once"), p.exactly(1), func(_ context.Context, args []string) error {
		if old, err := os.ReadFile(args[0]); err == nil {
			if _, err := sender.ParseHash(string(old)); err != nil {
				return errors.New(p.say.T("%s is there and holds something else; nothing was changed", args[0]))
			}
		}
		password := sender.NewPassword()
		if stdin {
			text, err := io.ReadAll(io.LimitReader(p.in, mostPassword+1))
			if err != nil {
				return err
			}
			password = strings.TrimRight(string(text), "\r\n")
			if len(password) < 12 || len(password) > mostPassword || strings.ContainsAny(password, "\x00\r\n") {
				return errors.New(p.say.T("the password must be one line of at least 12 characters"))
			}
		}
		if err := disk.Replace(disk.OS{}, args[0], []byte(sender.NewHash(password).String()+"\n")); err != nil {
			return err
		}
		if p.json {
			made := map[string]string{"file": args[0]}
			if !stdin {
				made["password"] = password
			}
			return p.object(made)
		}
		if !stdin {
			p.print(p.say.T("The password, which is shown this once: %s", password))
		}
		p.print(p.say.T("Its hash is in %s. A running node uses it within ten seconds.", args[0]))
		return nil
	})
	c.Flags().BoolVar(&stdin, "password-stdin", false, p.say.T("take the password from standard input instead of making one"))
	return c
}
