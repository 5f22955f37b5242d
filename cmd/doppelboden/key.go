package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/say"
)

func (p *program) keyCommand() *cobra.Command {
	return p.group("key", p.say.T("the keys under which mail lies on the disk"), p.keyRotate(), p.keyList())
}

func (p *program) keyRotate() *cobra.Command {
	var tenant string
	var master bool
	c := p.command("rotate --tenant NAME|--master", p.say.T("change the key of a tenant, or the master key; may be repeated after any error"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			if (tenant == "") != master {
				return usage(p.say.T("say which one: --tenant NAME or --master"))
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			var got control.Rotated
			if master {
				got, err = client.RotateMaster(ctx)
			} else {
				got, err = client.RotateKey(ctx, tenant)
			}
			if err != nil {
				return err
			}
			if p.json {
				return p.object(got)
			}
			p.rotated(got)
			return nil
		})
	c.Flags().StringVar(&tenant, "tenant", "", p.say.T("the key of this `tenant`; the keys of its mails are wrapped again, the mails are not written again"))
	c.Flags().BoolVar(&master, "master", false, p.say.T("the master key, in the file master.key"))
	return c
}

// rotated says what a change of a key did, and what a person must do now.
func (p *program) rotated(r control.Rotated) {
	version := strconv.Itoa(r.Version)
	if r.Kind == control.TenantKey {
		p.print(p.say.T("Tenant %s has a new key, version %s. Keys of mails wrapped again: %d.", say.Plain(r.Tenant), version, r.Rewraps))
		p.print(p.say.T("The old key is removed when nothing can need it any more, in an hour or two."))
		return
	}
	if r.Resumed {
		p.print(p.say.T("An earlier change of the master key had not ended; it has now. The key is version %s.", version))
	} else {
		p.print(p.say.T("The master key is new, version %s. All tenants' keys are wrapped with it.", version))
	}
	p.print(p.say.T("Copy %s to the safe now. Keep the old copy for as long as you keep backups from before.", say.Plain(r.File)))
}

func (p *program) keyList() *cobra.Command {
	return p.command("list", p.say.T("show all keys and their versions, but not the keys themselves"), p.exactly(0), func(ctx context.Context, _ []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		var t table
		t.row(p.say.T("key"), p.say.T("version"), p.say.T("since"), p.say.T("wrapped with"), p.say.T("state"))
		err = client.Keys(ctx, func(k control.Key) error {
			if p.json {
				return p.object(k)
			}
			t.row(p.keyName(k), strconv.Itoa(k.Version), p.clock(k.Since), p.wrapping(k), p.keyState(k))
			return nil
		})
		if err != nil || p.json {
			return err
		}
		p.print(t.String())
		return nil
	})
}

// keyName names a key.
func (p *program) keyName(k control.Key) string {
	if k.Kind == control.MasterKey {
		return p.say.T("master key")
	}
	return p.say.T("tenant %s", k.Tenant)
}

// wrapping names what wraps a key.
func (p *program) wrapping(k control.Key) string {
	if k.Kind == control.MasterKey {
		return "-"
	}
	return p.say.T("master key %s", strconv.Itoa(k.Master))
}

// keyState says what a version is for.
func (p *program) keyState(k control.Key) string {
	switch {
	case k.Current:
		return p.say.T("in use")
	case k.Kind == control.MasterKey:
		return p.say.T("old; a change has not ended, write: doppelboden key rotate --master")
	}
	return p.say.T("old; removed when nothing can need it any more")
}
