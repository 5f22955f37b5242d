package app

import (
	"context"
	"io"
	"net/netip"

	"doppelboden"
	"doppelboden/folder"
	"doppelboden/harvest"
	"doppelboden/store"
	"doppelboden/web"
	peopledoor "doppelboden/web/people"
	"doppelboden/web/public"
	"doppelboden/web/webmail"
)

// startWeb opens the door for browsers.
func (n *Node) startWeb(ctx context.Context) error {
	if n.opts.Node.Web == "" {
		return nil
	}
	var door *webmail.Door
	server, err := web.New(web.Options{
		TLS: n.certs.ConfigHTTPS(), Leaf: n.certs.Leaf, Sessions: peopledoor.Sessions{Room: n.accounts}, Log: n.log, Registry: n.registry, Clock: n.clock,
		Whose: n.sideOf,
		State: func(ctx context.Context, v *web.Visit, m int64) []web.Notice { return door.State(ctx, v, m) },
	})
	if err != nil {
		return err
	}
	door, err = webmail.New(webmail.Options{
		Server: server, People: openers{n.accounts, n}, Search: n.search, Slips: slips{n}, Directory: n.house.Directory,
		Open: func(t doppelboden.TenantID, m doppelboden.MailboxID, by string) webmail.Box {
			return box{n.folders.Open(t, m, by)}
		},
		Standing: n.standing, SetMode: n.setMode, MostBytes: n.opts.Node.Limits.MessageMB << 20, Log: n.log, Clock: n.clock,
	})
	if err != nil {
		return err
	}
	if _, err := peopledoor.New(server, n.accounts, n.programs); err != nil {
		return err
	}
	if err := public.Mount(public.Options{Server: server, Store: view{n.store, n.landing}, Clock: n.clock}); err != nil {
		return err
	}
	if err := n.mountSetup(server); err != nil {
		return err
	}
	n.onStop("the pages", server.Shutdown)
	return n.open(ctx, listener{"web", n.opts.Node.Web, server.Serve})
}

// sideOf says where connections of browsers come from. Who is trusted to bring others' mail
// brings their browsers as well; what runs on this machine does so by being here.
func (n *Node) sideOf(a netip.Addr) web.Side {
	switch {
	case a.IsLoopback(), n.house.isHop(a):
		return web.Proxy
	case n.accounts.OwnNetwork(a):
		return web.Own
	}
	return web.Stranger
}

// programs says where mail programs connect to.
func (n *Node) programs() peopledoor.Programs {
	p := peopledoor.Programs{Host: n.opts.Node.Hostname, IMAP: n.portOf("imap"), SMTP: n.portOf("submission")}
	if port := n.portOf("submission_tls"); port != 0 {
		p.SMTP, p.SMTPTLS = port, true
	}
	return p
}

// A box is a mailbox as webmail uses it.
type box struct{ *folder.Box }

// Read implements webmail.Box.
func (b box) Read(ctx context.Context, id doppelboden.ID) (io.ReadCloser, error) {
	m, err := b.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	return m.Reader()
}

// standing says what is known of a mailbox for the line that every page has.
func (n *Node) standing(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (webmail.Standing, error) {
	s := webmail.Standing{Here: n.house.Here(doppelboden.BoxID(m)), Used: n.modes.Emergency(m), Away: n.answersHere(m), Trusted: !n.house.Directory().Shut(t, store.ShutHandover)}
	if _, since, in := n.events.InOutage(m); in {
		s.Outage, s.Again = since, n.events.TakesAgain(m)
	}
	var c harvest.Coverage
	c, err := n.harvest.Coverage(ctx, t, m)
	if err != nil {
		return s, err
	}
	s.Until, s.Now = c.Until()
	return s, nil
}
