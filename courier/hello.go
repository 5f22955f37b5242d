package courier

import (
	"cmp"
	"encoding/base64"

	"doppelboden"
)

// hello takes the greeting, introduces us and starts TLS where the route wants it.
// tlsFailed says of a fault that the connection might work without STARTTLS.
func (a *Agent) hello(c *conn, plain bool) (tlsFailed bool, fault *verdict) {
	about := func(r reply, phase string) *verdict {
		v := judge(r, phase, doppelboden.AboutRoute)
		return &v
	}
	broken := func(phase string, err error) *verdict {
		v := lost(phase, doppelboden.AboutRoute, err)
		return &v
	}
	d := a.opts.Deadlines
	r, err := c.read(d.Greeting)
	switch {
	case err != nil:
		return false, broken(phaseGreeting, err)
	case r.class() == 3:
		return false, broken(phaseGreeting, unexpected(r, "the connection"))
	case r.class() != 2: // RFC 5321, section 3.1: 554; never a word about a message
		return false, about(r, phaseGreeting)
	}
	if fault := a.introduce(c); fault != nil {
		return false, fault
	}
	if plain {
		return false, a.login(c)
	}
	if !c.caps.startTLS {
		if a.route.TLS.Mode == RequireTLS {
			v := ours(doppelboden.Later, doppelboden.AboutRoute, phaseHelo, "", "the server does not offer STARTTLS, which the route requires")
			return false, &v
		}
		return false, a.login(c)
	}
	r, err = c.ask(d.Helo, "STARTTLS")
	switch {
	case err != nil:
		return true, broken(phaseHelo, err)
	case r.class() == 3:
		return true, broken(phaseHelo, unexpected(r, "STARTTLS"))
	case r.class() != 2 && a.route.TLS.Mode == RequireTLS || r.code == 421:
		return true, about(r, phaseHelo)
	case r.class() != 2: // RFC 3207, section 4: the session goes on as it was
		return false, a.login(c)
	}
	if err := c.startTLS(d.Helo, a.tlsConfig(c.host)); err != nil {
		return true, broken(phaseHelo, err)
	}
	// RFC 3207, section 4.2: what was offered before is forgotten.
	if fault := a.introduce(c); fault != nil {
		return true, fault
	}
	return false, a.login(c)
}

// login says who we are where the route wants that: RFC 4954, with PLAIN (RFC 4616).
func (a *Agent) login(c *conn) *verdict {
	who := a.route.Login
	if who == nil {
		return nil
	}
	if !c.tls { // RFC 4954, section 4: PLAIN only within TLS
		v := ours(doppelboden.Later, doppelboden.AboutRoute, phaseHelo, "", "the server wants a password, but there is no TLS to protect it")
		return &v
	}
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + who.User + "\x00" + who.Password))
	r, err := c.ask(a.opts.Deadlines.Helo, "AUTH PLAIN %s", secret)
	if err == nil && r.class() == 3 {
		err = unexpected(r, "AUTH")
	}
	if err != nil {
		v := lost(phaseHelo, doppelboden.AboutRoute, err)
		return &v
	}
	if r.class() != 2 {
		v := judge(r, phaseHelo, doppelboden.AboutRoute)
		return &v
	}
	return nil
}

// introduce says EHLO or LHLO, or HELO to who does not know EHLO.
func (a *Agent) introduce(c *conn) *verdict {
	verb := "EHLO"
	if c.host.LMTP {
		verb = "LHLO"
	}
	for {
		r, err := c.ask(a.opts.Deadlines.Helo, "%s %s", verb, cmp.Or(c.helo, a.route.HeloName))
		if err == nil && r.class() == 3 {
			err = unexpected(r, verb)
		}
		if err != nil {
			v := lost(phaseHelo, doppelboden.AboutRoute, err)
			return &v
		}
		if r.class() == 2 {
			c.caps = capabilities{}
			if verb != "HELO" {
				c.caps = parseCapabilities(r.text)
			}
			return nil
		}
		// RFC 5321, section 3.2: a server that refuses EHLO may know HELO. In TLS it
		// must know EHLO.
		if verb != "EHLO" || r.class() != 5 || c.tls {
			v := judge(r, phaseHelo, doppelboden.AboutRoute)
			return &v
		}
		verb = "HELO"
	}
}
