package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/segment"
	"doppelboden/smtpd"
)

// A door gives intake what smtpd took.
type door struct {
	in   *intake.Intake
	name string // "mx"
}

// Begin implements smtpd.Intake.
func (d door) Begin(_ context.Context, e smtpd.Envelope) (smtpd.Transaction, error) {
	t, err := d.in.Begin(intake.Envelope{
		Door: d.name, Peer: e.Peer.String(), PeerName: e.PeerName, Helo: e.Helo, Proto: e.Proto, TLS: cipher(e.TLS),
		Sender: e.Sender, SMTPUTF8: e.SMTPUTF8, EightBit: e.EightBit, Ret: e.Ret, EnvID: e.EnvID, Size: e.Size,
	})
	if err != nil {
		return nil, err
	}
	return transaction{t}, nil
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

// startMX opens the door for strangers.
func (n *Node) startMX(ctx context.Context) error {
	node := n.opts.Node
	in, err := intake.New(intake.Options{
		Hostname:  node.Hostname,
		Directory: func() intake.Directory { return snapshot{n.house.Directory()} },
		Bodies:    segments{n.bodies}, Store: n.store, Tally: n.doors, Notify: n.house.queue.Notify,
		Log: n.log, Registry: n.registry, Clock: n.clock,
		Budget: node.Limits.MemoryMB << 20, MostRecipients: node.Limits.Recipients,
	})
	if err != nil {
		return err
	}
	config, err := n.certificate()
	if err != nil {
		return err
	}
	server, err := smtpd.NewServer(smtpd.Options{
		Intake: door{in: in, name: "mx"}, Hostname: node.Hostname, TLS: config, Log: n.log, Registry: n.registry,
		Resolver: net.DefaultResolver, MaxConnections: node.Limits.Connections,
		MaxPerAddress: node.Limits.ConnectionsPerAddress, MaxSize: node.Limits.MessageMB << 20,
		MaxRecipients: node.Limits.Recipients,
	})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", node.MX)
	if err != nil {
		return fmt.Errorf("listen for mail: %w", err)
	}
	n.listeners["mx"] = ln.Addr().String()
	n.onStop("the MX", server.Shutdown)
	n.work.Go(func() {
		if err := server.Serve(context.WithoutCancel(ctx), ln); err != nil {
			n.failed <- fmt.Errorf("serve the MX: %w", err)
		}
	})
	return nil
}

// certificate loads the certificate for STARTTLS; nil when none is configured.
func (n *Node) certificate() (*tls.Config, error) {
	if n.opts.Node.Certificate == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(n.opts.Node.Certificate, n.opts.Node.Key)
	if err != nil {
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
