package main

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"doppelboden/setup"
)

func (p *program) initCommand() *cobra.Command {
	var o setup.Options
	c := p.command("init DIR --domain DOMAIN --groupware smtp://HOST:PORT|lmtp://HOST:PORT|here [flags]",
		p.say.T("make the folder of a new installation: configuration, keys, certificate"),
		p.exactly(1), func(_ context.Context, args []string) error {
			o.Dir, o.Now = args[0], p.now()
			n, err := setup.Create(o)
			if err != nil {
				return err
			}
			node, town := filepath.Join(o.Dir, setup.NodeFile), n.City
			if p.json {
				return p.object(map[string]string{"node": node, "city": town, "data": n.Data, "keys": n.Keys, "mx": n.MX, "submission": n.Submission, "metrics": n.Metrics, "web": n.Web, "imap": n.IMAP})
			}
			p.print(p.say.T("%s is ready. Its keys are in %s; keep a copy of them elsewhere.", o.Dir, n.Keys))
			p.print(p.say.T("Next, the node:"))
			p.print("  doppelboden serve --node " + node)
			p.print(p.say.T("and in another window the first mailbox, and a mail to it:"))
			p.print("  export DOPPELBODEN_NODE=" + node)
			p.print("  doppelboden mailbox add postmaster@" + o.Domain)
			p.print("  doppelboden send --to postmaster@" + o.Domain)
			return nil
		})
	f := c.Flags()
	f.StringVar(&o.Domain, "domain", "", p.say.T("the city's mail `domain`"))
	f.StringVar(&o.Groupware, "groupware", "", p.say.T("`where` mail goes: smtp://host:port, lmtp://host:port, or \"here\" for mailboxes without a groupware"))
	f.StringVar(&o.Hostname, "hostname", "", p.say.T("the machine's `name` in the DNS (default mx.DOMAIN)"))
	f.StringVar(&o.DNS, "dns", "", p.say.T("`address` of the name server, or \"none\" (default: those of the machine)"))
	f.StringVar(&o.Listen, "listen", "127.0.0.1", p.say.T("the `address` to listen at"))
	f.IntVar(&o.MXPort, "mx-port", 2525, p.say.T("`port` for mail"))
	f.IntVar(&o.Submission, "submission-port", 1587, p.say.T("`port` for mail of the city's own senders"))
	f.IntVar(&o.IMAPSPort, "imaps-port", 1993, p.say.T("`port` for mail programs (IMAP over TLS)"))
	f.IntVar(&o.WebPort, "web-port", 8443, p.say.T("`port` for the emergency mailboxes (https)"))
	f.IntVar(&o.MetricsPort, "metrics-port", 9125, p.say.T("`port` for Prometheus metrics"))
	p.require(c, "domain", "groupware")
	return c
}
