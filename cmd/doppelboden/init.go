package main

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"doppelboden/setup"
)

func (p *program) initCommand() *cobra.Command {
	var o setup.Options
	var c *cobra.Command
	c = p.command("init DIR --domain DOMAIN --groupware smtp://HOST:PORT|lmtp://HOST:PORT|here [flags]",
		p.say.T("make the folder of a new installation: configuration, keys, certificate"),
		p.exactly(1), func(_ context.Context, args []string) error {
			switch {
			case o.Emergency:
				inEmergency(c, &o)
			case o.Groupware == "":
				return usage(p.say.T("%s is needed", "--groupware"))
			}
			if o.ACME == "none" {
				o.ACME = ""
			}
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
			if o.Emergency {
				p.firstHour(o, node)
				return nil
			}
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
	f.BoolVar(&o.Emergency, "emergency", false, p.say.T("in the middle of an outage, for a city that never prepared: mail waits, people work here, the usual ports at all addresses"))
	f.StringVar(&o.ACME, "acme", "", p.say.T("`URL` of the authority that makes the certificate (default with --emergency: Let's Encrypt; \"none\": nobody does)"))
	p.require(c, "domain")
	return c
}

// letsEncrypt makes certificates for everybody, at once and for nothing.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// inEmergency fills in what nobody has time to think about.
func inEmergency(c *cobra.Command, o *setup.Options) {
	for name, set := range map[string]func(){
		"listen": func() { o.Listen = "0.0.0.0" }, "mx-port": func() { o.MXPort = 25 }, "submission-port": func() { o.Submission = 587 },
		"imaps-port": func() { o.IMAPSPort = 993 }, "web-port": func() { o.WebPort = 443 }, "acme": func() { o.ACME = letsEncrypt },
	} {
		if !c.Flags().Changed(name) {
			set()
		}
	}
}

// firstHour says what to do in the first hour, in the order in which it helps most.
func (p *program) firstHour(o setup.Options, node string) {
	name := o.Hostname
	if name == "" {
		name = "mx." + o.Domain
	}
	p.print("\n" + p.say.T("1. In the DNS: an address for %s, and it as the only MX of %s. Senders that were turned away come back within hours.", name, o.Domain))
	p.print("\n" + p.say.T("2. Start the node (as root, or with the right to open ports below 1024):"))
	p.print("  doppelboden serve --node " + node)
	p.print("\n" + p.say.T("3. In another window the people: a list from the payroll office with address,name,department,priority,phone; 9 is the crisis team."))
	p.print("  export DOPPELBODEN_NODE=" + node)
	p.print("  doppelboden mailbox add postmaster@" + o.Domain)
	p.print("  doppelboden mailbox import people.csv")
	p.print("\n" + p.say.T("4. A sheet for everybody, to be printed and handed out in person:"))
	p.print("  doppelboden account codes --all --pdf sheets.pdf")
	p.print("\n" + p.say.T("5. What came for people who are not on the list waits and is seen with:"))
	p.print("  doppelboden status")
	p.print("  doppelboden queue list --state held")
}
