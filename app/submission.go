package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden/intake"
	"doppelboden/smtpd"
)

// smtpOptions are what both doors have in common.
func (n *Node) smtpOptions(in *intake.Intake, name string, config *tls.Config) smtpd.Options {
	node := n.opts.Node
	return smtpd.Options{
		Intake: door{in: in, name: name, n: n}, Hostname: node.Hostname, TLS: config, Log: n.log,
		Registry: prometheus.WrapRegistererWith(prometheus.Labels{"door": name}, n.registry),
		Resolver: n.clientNames(), MaxConnections: node.Limits.Connections,
		MaxPerAddress: node.Limits.ConnectionsPerAddress, MaxSize: node.Limits.MessageMB << 20,
		MaxRecipients: node.Limits.Recipients, Hop: n.house.isHop,
	}
}

// startSubmission opens the door for the city's own senders: RFC 6409.
func (n *Node) startSubmission(ctx context.Context, in *intake.Intake, config *tls.Config) error {
	node := n.opts.Node
	if node.Submission == "" && node.SubmissionTLS == "" {
		return nil
	}
	if config != nil {
		config = config.Clone()
		// Who has a certificate shows it; who signed it is the senders' affair.
		config.ClientAuth = tls.RequestClientCert
	}
	o := n.smtpOptions(in, doorSubmission, config)
	o.Gate, o.Mend = writers{n}, true
	server, err := smtpd.NewServer(o)
	if err != nil {
		return err
	}
	n.onStop("the submission", server.Shutdown)
	for _, l := range []listener{
		{"submission", node.Submission, server.Serve},
		{"submission_tls", node.SubmissionTLS, server.ServeTLS},
	} {
		if err := n.open(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// A listener is a port and what serves it.
type listener struct {
	name  string // as node.toml has it
	at    string // host:port; empty: it is not opened
	serve func(context.Context, net.Listener) error
}

// open opens a port.
func (n *Node) open(ctx context.Context, l listener) error {
	if l.at == "" {
		return nil
	}
	ln, err := net.Listen("tcp", l.at)
	if err != nil {
		return fmt.Errorf("listen for mail: %w", err)
	}
	n.listeners[l.name] = ln.Addr().String()
	n.serving.Go(func() {
		if err := l.serve(context.WithoutCancel(ctx), ln); err != nil {
			n.failed <- fmt.Errorf("serve %s: %w", l.name, err)
		}
	})
	return nil
}
