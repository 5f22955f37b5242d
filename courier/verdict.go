package courier

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"doppelboden"
)

// Phases as doppelboden.Outcome names them.
const (
	phaseConnect  = "connect"
	phaseGreeting = "greeting"
	phaseHelo     = "helo"
	phaseMail     = "mail"
	phaseRcpt     = "rcpt"
	phaseData     = "data"
	phaseDot      = "dot"
)

// A verdict is an outcome that is not yet anybody's.
type verdict struct {
	verdict doppelboden.Verdict
	scope   doppelboden.Scope
	phase   string
	reply   doppelboden.Reply
	inDoubt bool
}

// judge turns a reply that is not the hoped-for one, or the final one, into a verdict.
// scope is what a 4xx or 5xx in this phase is about.
func judge(r reply, phase string, scope doppelboden.Scope) verdict {
	v := verdict{verdict: doppelboden.Later, scope: scope, phase: phase, reply: r.public()}
	switch {
	case r.class() == 2 && phase == phaseDot:
		v.verdict = doppelboden.Took
	case aboutConnection(v.reply) || scope == doppelboden.AboutRoute:
		v.scope = doppelboden.AboutRoute
	case r.class() == 5:
		v.verdict = doppelboden.Refused
	}
	return v
}

// aboutConnection reports whether a reply speaks of the connection, whatever it was the
// answer to. It says nothing of the mail then, and must not bounce it.
func aboutConnection(r doppelboden.Reply) bool {
	switch r.Code {
	case 421: // RFC 5321, section 4.2.3: closing the channel; may answer any command
		return true
	case 530, 535, 538: // RFC 4954, section 6, and RFC 3207, section 4: log in, or use TLS, first
		return true
	case 500, 502, 503: // section 4.2.4: command unknown, not implemented, out of sequence
		// RFC 3463, section 3.6: X.5.X is the protocol's. Another enhanced code says
		// that the server means something else.
		return r.Enhanced == "" || strings.HasPrefix(r.Enhanced, "5.5.")
	}
	return false
}

// lost is the verdict when the connection broke, timed out or spoke nonsense before
// the final dot.
func lost(phase string, scope doppelboden.Scope, err error) verdict {
	return ours(doppelboden.Later, scope, phase, "", describe(err))
}

// inDoubt is the verdict when the same happened after the final dot.
func inDoubt(err error) verdict {
	v := lost(phaseDot, doppelboden.AboutMessage, err)
	v.inDoubt = true
	return v
}

// ours is a verdict in our own words; there was no reply.
func ours(verd doppelboden.Verdict, scope doppelboden.Scope, phase, enhanced, text string) verdict {
	return verdict{
		verdict: verd, scope: scope, phase: phase,
		reply: doppelboden.Reply{Enhanced: enhanced, Text: harmless(text)},
	}
}

// unexpected is the error for a well-formed reply that makes no sense where it came.
func unexpected(r reply, phase string) error {
	return fmt.Errorf("%w: %d in answer to %s", errNonsense, r.code, phase)
}

// describe says in plain words what went wrong on a connection.
func describe(err error) string {
	switch {
	case errors.Is(err, errCancelled):
		return errCancelled.Error()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case isClosed(err):
		return "connection closed by the server"
	}
	return err.Error()
}

// isClosed reports whether err says that the other side has gone.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
