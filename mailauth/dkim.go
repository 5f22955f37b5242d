package mailauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/intake"
)

const (
	// mostSignatures is how many signatures of a mail are checked, from the top: RFC
	// 6376, section 6.1, lets a verifier stop. Real mail has one or two, mail of lists
	// up to five.
	mostSignatures = 8
	// readPiece is how much of a body is read at once.
	readPiece = 32 << 10
)

// A signed is one DKIM signature and what became of it.
type signed struct {
	*signature
	key    *publicKey
	result Result
	done   bool // nothing more is to be checked
}

// end settles the verdict.
func (s *signed) end(v Value, reason string) {
	s.result.Value, s.result.Reason, s.done = v, reason, true
}

// dkim checks the signatures of a mail. Without one it returns nothing.
func (c *Checker) dkim(ctx context.Context, in *intake.Incoming, all []field) []*signed {
	var found []*signed
	for _, f := range all {
		if !f.named("dkim-signature") {
			continue
		}
		if len(found) == mostSignatures {
			c.metrics.skipped.Inc()
			break
		}
		found = append(found, c.begin(f, in.Message.Received))
	}
	c.fetchKeys(ctx, found)
	c.hashBodies(in, found)
	c.verify(all, found)
	return found
}

// begin reads a signature and says what can be said without the key.
func (c *Checker) begin(f field, now time.Time) *signed {
	sig, err := parseSignature(f)
	s := &signed{signature: sig, result: Result{Method: "dkim"}}
	s.result.Props = []Property{
		{"header", "d", sig.domain}, {"header", "s", sig.selector}, {"header", "a", algorithm(sig)}, {"header", "b", sig.begin},
	}
	switch {
	case err != nil:
		// RFC 8601, section 2.7.1: neutral is what cannot be processed.
		s.end(Neutral, err.Error())
	case sig.kind == "rsa" && sig.hash == "sha1":
		s.end(Policy, "rsa-sha1 is broken") // RFC 8301, section 3.1
	case sig.hash != "sha256" || sig.kind != "rsa" && sig.kind != "ed25519":
		s.end(Neutral, "an algorithm that we do not know")
	case !sig.expires.IsZero() && now.After(sig.expires):
		s.end(Policy, "the signature has expired")
	}
	return s
}

// algorithm is a= as it may stand in a result, or "" when it is none.
func algorithm(s *signature) string {
	if s.kind == "" || s.hash == "" {
		return ""
	}
	return s.kind + "-" + s.hash
}

// fetchKeys asks for the keys of all signatures at once.
func (c *Checker) fetchKeys(ctx context.Context, found []*signed) {
	var others sync.WaitGroup
	first := true
	for _, s := range found {
		switch {
		case s.done:
		case first:
			first = false
			defer func() { c.fetchKey(ctx, s); others.Wait() }()
		default:
			others.Go(func() { c.fetchKey(ctx, s) })
		}
	}
}

// fetchKey asks for the key of a signature: RFC 6376, section 6.1.2.
func (c *Checker) fetchKey(ctx context.Context, s *signed) {
	texts, err := c.opts.DNS.TXT(ctx, s.selector+"._domainkey."+s.domain)
	switch {
	case err == nil && len(texts) > 1:
		s.end(PermError, "several keys in one place") // section 3.6.2.2
		return
	case doppelboden.CodeOf(err) == doppelboden.NotFound:
		s.end(PermError, "no key")
		return
	case err != nil:
		s.end(TempError, "the key cannot be fetched now")
		return
	}
	k, err := parseKey(texts[0])
	switch {
	case err != nil:
		s.end(PermError, err.Error())
	case k.kind != s.kind || !k.allows(s.hash):
		s.end(PermError, "the key is not for this algorithm")
	case k.exact && s.agent != s.domain:
		s.end(PermError, errAgent.Error())
	case k.rsa != nil && k.bits() < leastRSA:
		s.end(Policy, fmt.Sprintf("the key has only %d bits", k.bits())) // RFC 8301, section 3.2
	case k.rsa != nil && k.bits() > mostRSA:
		s.end(Policy, fmt.Sprintf("the key has %d bits, more than we check", k.bits()))
	}
	s.key = k
}

// hashBodies compares the body with what the signatures say of it, in one reading.
func (c *Checker) hashBodies(in *intake.Incoming, found []*signed) {
	type way struct {
		canon canon
		limit int64
	}
	hashes := map[way]*bodyHash{}
	for _, s := range found {
		if w := (way{s.body, s.length}); !s.done && hashes[w] == nil {
			hashes[w] = &bodyHash{canon: w.canon, limit: w.limit, sum: sha256.New()}
		}
	}
	if len(hashes) == 0 {
		return
	}
	err := eachPiece(in, func(p []byte) {
		for _, h := range hashes {
			h.write(p)
		}
	})
	sums := map[way][]byte{}
	for w, h := range hashes {
		sums[w] = h.end()
	}
	for _, s := range found {
		w := way{s.body, s.length}
		switch {
		case s.done:
		case errors.Is(err, errLongHeader):
			s.end(Neutral, "the header is too long to check")
		case err != nil:
			c.opts.Log.Warn("a body cannot be read for DKIM", "err", err)
			s.end(TempError, "the body cannot be read now")
		case subtle.ConstantTimeCompare(sums[w], s.bodySum) != 1:
			s.end(Fail, "the body was changed")
		case s.length >= 0 && hashes[w].size > s.length:
			// RFC 6376, section 8.2: anybody can add to such a mail what people see.
			s.end(Policy, "l= leaves a part of the body unsigned")
		}
	}
}

// errLongHeader is why a body cannot be told from its header.
var errLongHeader = errors.New("the header is longer than what checks are given")

// eachPiece reads the body that follows the header section.
func eachPiece(in *intake.Incoming, do func([]byte)) error {
	r, err := in.Open()
	if err != nil {
		return fmt.Errorf("open the mail: %w", err)
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, int64(len(in.Header))); err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	var blank [2]byte
	switch n, err := io.ReadFull(r, blank[:]); {
	case errors.Is(err, io.EOF):
		return nil // a mail without a body
	case err != nil || string(blank[:n]) != "\r\n":
		return errLongHeader
	}
	if w, ok := r.(io.WriterTo); ok {
		_, err := w.WriteTo(pieces(do))
		return err
	}
	buf := make([]byte, readPiece)
	for {
		n, err := r.Read(buf)
		do(buf[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the body: %w", err)
		}
	}
}

// pieces is a function as a writer: a body in memory needs no copy.
type pieces func([]byte)

// Write implements io.Writer.
func (do pieces) Write(p []byte) (int, error) { do(p); return len(p), nil }

// verify checks the header hashes: RFC 6376, section 6.1.3.
func (c *Checker) verify(all []field, found []*signed) {
	var index map[string][]int // positions of the fields of a name, in order
	var buf []byte
	for _, s := range found {
		if s.done {
			continue
		}
		if index == nil {
			index = make(map[string][]int, len(all))
			for i, f := range all {
				name := f.name()
				index[name] = append(index[name], i)
			}
		}
		// RFC 6376, section 8.15: programs show the From above the signed one.
		if len(index["from"]) > s.signs("from") {
			s.end(Policy, "there is a From that is not signed")
			continue
		}
		buf = s.signedHeader(buf[:0], all, index)
		sum := sha256.Sum256(buf)
		if s.key.verify(sum[:], s.sig) {
			s.end(Pass, "")
			if s.key.test {
				s.result.Reason = "the domain says that it tries DKIM out"
			}
			continue
		}
		s.end(Fail, "the signature does not fit")
	}
}

// signedHeader appends the octets that the signature signs: RFC 6376, sections 3.7 and
// 5.4.2. Of several fields of a name the lowest is taken first; of those that are not
// there nothing is.
func (s *signature) signedHeader(b []byte, all []field, index map[string][]int) []byte {
	taken := make(map[string]int, len(s.headers))
	for _, name := range s.headers {
		at := index[name]
		n := taken[name]
		if n == len(at) {
			continue
		}
		taken[name] = n + 1
		b = s.head.field(b, all[at[len(at)-1-n]])
	}
	own := make([]byte, 0, len(s.field))
	own = append(own, s.field[:s.cutFrom]...)
	own = append(own, s.field[s.cutTo:]...)
	b = s.head.field(b, own)
	return bytes.TrimSuffix(b, []byte("\r\n"))
}

// signs returns how many fields of a name the signature signs.
func (s *signature) signs(name string) (n int) {
	for _, h := range s.headers {
		if h == name {
			n++
		}
	}
	return n
}
