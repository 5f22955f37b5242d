package smtpd

import (
	"errors"
	"net/netip"
	"time"
)

// arrive does what comes before the greeting: it takes the header of the PROXY protocol
// or the TLS handshake where the port has one, and finds out whether a trusted hop
// speaks with us. It returns false when there will be no greeting.
func (c *conn) arrive() bool {
	switch c.via {
	case viaProxy:
		if !c.readProxy() {
			return false
		}
	case viaTLS:
		if c.handshake(); c.closing {
			return false
		}
	}
	if c.server.isHop(c.peer) {
		c.hop = c.peer
	}
	return true
}

// readProxy reads who the client is. Only a trusted hop may say so; from anybody else
// not one octet is read.
func (c *conn) readProxy() bool {
	if !c.server.isHop(c.peer) {
		c.reply(replyStrayProxy)
		c.wire.flush()
		return false
	}
	c.window = time.Now().Add(c.server.opts.ProxyTimeout)
	for {
		n, client, err := parseProxy(c.wire.buffered())
		switch {
		case err == nil:
			c.wire.r += n
			return c.comesFrom(client)
		case !errors.Is(err, errProxyShort):
			c.server.log.proxyFailed(err)
			return false
		}
		if c.wire.fill() != nil {
			return false
		}
	}
}

// comesFrom makes client the one whom the connection is counted for; the zero Addr
// stands for the hop itself, which looks whether we are well.
func (c *conn) comesFrom(client netip.Addr) bool {
	if !client.IsValid() {
		return true
	}
	c.peer = client
	if refusal := c.server.recount(c); refusal != "" {
		c.reply(refusal)
		c.wire.flush()
		return false
	}
	c.server.names.ask(c.server.force, client)
	return true
}
