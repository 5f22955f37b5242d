package smtpd

import (
	"context"
	"log/slog"
	"net/netip"

	"doppelboden"
)

// A maillog writes what an administrator reads about mails. What comes from outside is
// quoted by slog's handlers, and addresses appear at debug only.
type maillog struct{ log *slog.Logger }

// A record is what is said about one transaction.
type record struct {
	kept       Kept   // zero unless the verdict is "kept"
	verdict    string // see the constants
	proto      string // RFC 3848
	size       int64  // octets of the body that came, as far as it came
	recipients int    // taken
	refused    int    // RCPT commands refused
	peer       netip.Addr
	helo       string
}

// ended writes the one line of a transaction.
func (l maillog) ended(ctx context.Context, r record) {
	if !l.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 9)
	if r.verdict == verdictKept {
		attrs = append(attrs, slog.String("receipt", r.kept.Receipt.String()), slog.String("message", r.kept.ID.String()))
	}
	attrs = append(attrs,
		slog.String("verdict", r.verdict),
		slog.String("proto", r.proto),
		slog.Int64("size_bytes", r.size),
		slog.Int("recipients", r.recipients),
		slog.Int("recipients_refused", r.refused))
	if l.log.Enabled(ctx, slog.LevelDebug) {
		attrs = append(attrs, slog.String("peer", r.peer.String()), slog.String("helo", r.helo))
	}
	l.log.LogAttrs(ctx, slog.LevelInfo, "transaction", attrs...)
}

// mailRefused, rcptRefused and bodyRefused say why, with what the peer is not told.
func (l maillog) mailRefused(ctx context.Context, err error) { l.refused(ctx, "MAIL refused", err) }
func (l maillog) rcptRefused(ctx context.Context, err error) { l.refused(ctx, "RCPT refused", err) }
func (l maillog) bodyRefused(ctx context.Context, err error) { l.refused(ctx, "body refused", err) }

// refused writes an error of the Intake. Its text may hold addresses.
func (l maillog) refused(ctx context.Context, what string, err error) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.LogAttrs(ctx, slog.LevelDebug, what,
			slog.String("code", doppelboden.CodeOf(err).String()), slog.String("error", err.Error()))
	}
}

// tlsFailed is no fault of ours; port scanners do it all day.
func (l maillog) tlsFailed(err error) { l.log.Debug("TLS handshake failed", "error", err.Error()) }

// proxyFailed is a load balancer that does not speak the PROXY protocol.
func (l maillog) proxyFailed(err error) {
	l.log.Warn("a trusted hop did not say who its client is", "error", err.Error())
}

// panicked is a fault of ours.
func (l maillog) panicked(v any, stack []byte) {
	l.log.Error("panic in a connection", "panic", v, "stack", string(stack))
}
