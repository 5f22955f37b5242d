package app

import (
	"context"
	"crypto/tls"
	"path/filepath"

	"doppelboden"
	"doppelboden/certs"
	"doppelboden/intake"
	"doppelboden/segment"
	"doppelboden/smtpd"
)

// A door gives intake what smtpd took.
type door struct {
	in   *intake.Intake
	name string // "mx" or "submission"
	n    *Node
}

// What a door is called in messages, metrics and Received lines.
const (
	doorMX         = "mx"
	doorSubmission = "submission"
)

// Begin implements smtpd.Intake.
func (d door) Begin(ctx context.Context, e smtpd.Envelope) (smtpd.Transaction, error) {
	var who *intake.Own
	hop := d.n.house.hop(e.Hop, e.Told)
	if d.name == doorSubmission {
		hop = nil // who sends is known without it
		var err error
		if who, err = d.n.asWriter(ctx, e.Login); err != nil {
			return nil, err
		}
	}
	envelope := intake.Envelope{
		Own: who, Hop: hop,
		Door: d.name, Peer: e.Peer.String(), PeerName: e.PeerName, Helo: e.Helo, Proto: e.Proto, TLS: cipher(e.TLS),
		Sender: e.Sender, SMTPUTF8: e.SMTPUTF8, EightBit: e.EightBit, Ret: e.Ret, EnvID: e.EnvID, Size: e.Size,
	}
	t, err := d.in.Begin(envelope)
	if err != nil {
		return nil, err
	}
	return &journaling{transaction: transaction{t}, n: d.n, envelope: envelope}, nil
}

// cipher describes a connection's encryption as Received lines do.
func cipher(s *tls.ConnectionState) string {
	if s == nil {
		return ""
	}
	return tls.VersionName(s.Version) + " " + tls.CipherSuiteName(s.CipherSuite)
}

// A transaction gives intake the words of smtpd.
type transaction struct{ *intake.Transaction }

// Rcpt implements smtpd.Transaction.
func (t transaction) Rcpt(ctx context.Context, r smtpd.Recipient) error {
	return t.Transaction.Rcpt(ctx, intake.Recipient{Address: r.Address, Notify: r.Notify, ORcpt: r.ORcpt})
}

// Commit implements smtpd.Transaction.
func (t transaction) Commit(ctx context.Context) (smtpd.Kept, error) {
	k, err := t.Transaction.Commit(ctx)
	return smtpd.Kept{ID: k.ID, Receipt: k.Receipt}, err
}

// segments gives intake the segments' writers as its own interface.
type segments struct{ *segment.Store }

// Create implements intake.Bodies.
func (s segments) Create(t doppelboden.TenantID) (intake.BodyWriter, error) {
	w, err := s.Store.Create(t)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// startMX opens the doors: that for strangers, and that for the city's own senders.
func (n *Node) startMX(ctx context.Context) error {
	node := n.opts.Node
	config := n.certificate()
	server, err := smtpd.NewServer(n.smtpOptions(n.intake, doorMX, config))
	if err != nil {
		return err
	}
	n.onStop("the MX", func(ctx context.Context) error {
		n.passages.cut() // or a next server that is slow would keep us
		return server.Shutdown(ctx)
	})
	for _, l := range []listener{{"mx", node.MX, server.Serve}, {"proxied", node.Proxied, server.ServeProxied}} {
		if err := n.open(ctx, l); err != nil {
			return err
		}
	}
	return n.startSubmission(ctx, n.intake, config)
}

// openCertificate makes the keeper of the certificate; without one in node.toml there is none.
func (n *Node) openCertificate() error {
	node := n.opts.Node
	if node.Certificate == "" {
		return nil
	}
	o := certs.Options{Certificate: node.Certificate, Key: node.Key, Clock: n.clock, Timer: n.opts.Timer, Log: n.log}
	if node.ACME != "" {
		o.Authority = &certs.Authority{Directory: node.ACME, Email: node.ACMEEmail, Host: node.Hostname, Cache: filepath.Join(node.Keys, "acme")}
	}
	var err error
	n.certs, err = certs.New(o)
	return err
}

// certificate returns what a door shows; nil when no certificate is configured.
func (n *Node) certificate() *tls.Config {
	if n.certs == nil {
		return nil
	}
	return n.certs.Config()
}

// certificate tells of one that is about to end, or cannot be had.
func (w *watcher) certificate(wrong alarms) {
	if w.n.certs == nil {
		return
	}
	if trouble := w.n.certs.Trouble(); len(trouble) > 0 {
		wrong[alarmKey{"certificate", ""}] = trouble
	}
}
