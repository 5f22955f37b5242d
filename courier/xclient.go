package courier

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"

	"doppelboden"
)

// present tells the next server who our client was, where the route wants that and the
// server offers it: XCLIENT, as Postfix's XCLIENT_README has it. A gateway behind us
// judges senders by their address, and would otherwise judge us. kept says that the
// connection was there before this mail.
func (a *Agent) present(ctx context.Context, kept bool, m *doppelboden.Message) *connectFault {
	if !a.route.XClient {
		return nil
	}
	for {
		c := a.conn
		who := xclientOf(c.caps.xclient, m)
		if who == c.presented {
			return nil
		}
		if who == "" { // it must not be taken for the client before it
			c.quit()
			a.conn = nil
			_, fault := a.connect(ctx)
			return fault
		}
		c.helo = m.Helo // servers believe EHLO rather than the attribute
		v, err := a.say(c, who)
		switch {
		case err != nil && kept && isClosed(err) && !errors.Is(err, os.ErrDeadlineExceeded):
			// A kept connection had ended; see transaction.run.
			c.close()
			a.conn = nil
			if _, fault := a.connect(ctx); fault != nil {
				return fault
			}
			kept = false
			continue
		case err != nil:
			v = new(verdict)
			*v = lost(phaseHelo, doppelboden.AboutRoute, err)
		}
		if v != nil {
			server := c.host.shown()
			c.close()
			a.conn = nil
			return &connectFault{*v, server}
		}
		return nil
	}
}

// say sends XCLIENT and introduces us again.
func (a *Agent) say(c *conn, who string) (*verdict, error) {
	r, err := c.ask(a.opts.Deadlines.Helo, "XCLIENT%s", who)
	if err != nil {
		return nil, err
	}
	c.presented = who
	switch {
	case r.code == 421:
		v := judge(r, phaseHelo, doppelboden.AboutRoute)
		return &v, nil
	case r.class() != 2: // then it judges us; that is its affair
		c.helo = ""
		c.host.log.Debug("XCLIENT is offered and refused", "code", r.code)
		return nil, nil
	}
	c.dirty = false // the session has begun anew
	offered := c.caps.xclient
	v := a.introduce(c)
	c.caps.xclient = offered // what it offers to us, not to our client
	return v, nil
}

// xclientOf returns the attributes of XCLIENT for the client of a message, each with a
// space in front; "" when nothing is known of it or the server does not take addresses.
func xclientOf(offered string, m *doppelboden.Message) string {
	addr, err := netip.ParseAddr(m.Peer)
	if err != nil || !offers(offered, "ADDR") {
		return ""
	}
	b := " ADDR="
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		b += "IPV6:"
	}
	b += addr.String()
	if offers(offered, "NAME") { // or it would keep ours
		b += " NAME=[UNAVAILABLE]"
	}
	if m.Helo != "" && offers(offered, "HELO") {
		b += " HELO=" + doppelboden.Xtext(m.Helo)
	}
	return b
}

// offers reports whether a server takes an attribute.
func offers(offered, name string) bool {
	for word := range strings.FieldsSeq(offered) {
		if strings.EqualFold(word, name) {
			return true
		}
	}
	return false
}
