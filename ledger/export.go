package ledger

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"doppelboden"
)

// An export is one JSON object a line: a header, the knots by number, the links by chain
// and number, and an end that says how many there were. Its order lets a reader check
// it in one walk.
type headerText struct {
	Type    string    `json:"type"`    // "doppelboden-ledger"
	Version int       `json:"version"` // 1
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"`
}

// An endText closes an export, so that a cut one is noticed.
type endText struct {
	Type  string `json:"type"` // "end"
	Knots int64  `json:"knots"`
	Links int64  `json:"links"`
}

// A linkText is a link as exports show it. Its entries can be encoded again, so the root
// can be computed from what people read.
type linkText struct {
	Type    string      `json:"type"` // "link"
	Chain   string      `json:"chain"`
	Number  int64       `json:"number"`
	At      time.Time   `json:"at"`
	Prev    hash        `json:"prev"`
	Root    hash        `json:"root"`
	Hash    hash        `json:"hash"`
	Salt    hexText     `json:"salt,omitempty"`    // absent once the entries have expired
	Entries []entryText `json:"entries,omitempty"` // as they are in the chain
}

const (
	headerType    = "doppelboden-ledger"
	exportVersion = 1

	// clockSlack is how far a clock may have gone back without hiding records from a
	// walk that begins at a time. It covers a machine that took local time for UTC.
	clockSlack = 24 * time.Hour

	// maxLine bounds a line of an export: a link of 100,000 entries.
	maxLine = 64 << 20

	// maxHeads bounds how many heads VerifyExport keeps, about 80 bytes each.
	maxHeads = 2000000
)

// Export writes the links and knots from a time until another, as JSON lines that
// VerifyExport can check without the database. Zero times mean everything.
func Export(ctx context.Context, r Reader, w io.Writer, from, to time.Time) error {
	out := bufio.NewWriterSize(w, 1<<16)
	e := exporter{Reader: r, enc: encoder(out), from: from, to: to,
		first: map[string]int64{}, last: map[string]int64{}}
	err := e.write(ctx)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("export ledger: %w", err)
	}
	return nil
}

// encoder writes JSON lines in the one way that exports have.
func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// exact decodes a line of an export, which must be as Export writes it: a reader of the
// text must not see another value than a program does.
func exact(line []byte, v any) error {
	if err := strict(line, v); err != nil {
		return err
	}
	var again bytes.Buffer
	if err := encoder(&again).Encode(v); err != nil {
		return err
	}
	if !bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte("\n")), line) {
		return errors.New("not written as an export is")
	}
	return nil
}

// An exporter is one run of Export.
type exporter struct {
	Reader
	enc         *json.Encoder
	from, to    time.Time
	first, last map[string]int64 // of each chain, as the exported knots name it
	end         endText
}

func (e *exporter) write(ctx context.Context) error {
	err := e.enc.Encode(headerText{Type: headerType, Version: exportVersion, From: e.from, To: e.to})
	if err != nil {
		return err
	}
	err = e.Knots(ctx, func(k doppelboden.Knot) error {
		if k.At.Before(e.from) || !e.to.IsZero() && !k.At.Before(e.to) {
			return nil
		}
		for _, h := range k.Heads {
			if _, ok := e.first[h.Chain]; !ok {
				e.first[h.Chain] = h.Number
			}
			e.last[h.Chain] = h.Number
		}
		e.end.Knots++
		return e.enc.Encode(textOf(&k))
	})
	if err != nil {
		return err
	}
	if err := e.links(ctx); err != nil {
		return err
	}
	e.end.Type = "end"
	return e.enc.Encode(e.end)
}

// links writes of each chain one piece without gaps: from the first link of the time or
// that an exported knot names, until the time is over and no knot names a later one.
func (e *exporter) links(ctx context.Context) error {
	since := e.from
	if !since.IsZero() {
		since = since.Add(-clockSlack)
	}
	chain, begun, ended := "", false, false
	return e.Links(ctx, since, func(l doppelboden.Link) error {
		if l.Chain != chain {
			chain, begun, ended = l.Chain, false, false
		}
		first, named := e.first[l.Chain]
		begun = begun || !l.At.Before(e.from) || named && l.Number >= first
		ended = ended || !e.to.IsZero() && !l.At.Before(e.to) && l.Number > e.last[l.Chain]
		if !begun || ended {
			return nil
		}
		t, err := textOfLink(&l)
		if err != nil {
			return fmt.Errorf("link %d of %s: %w", l.Number, l.Chain, err)
		}
		e.end.Links++
		return e.enc.Encode(t)
	})
}

// textOfLink returns l as exports show it.
func textOfLink(l *doppelboden.Link) (linkText, error) {
	t := linkText{Type: "link", Chain: l.Chain, Number: l.Number, At: l.At.UTC(),
		Prev: l.Prev, Root: l.Root, Hash: l.Hash}
	if len(l.Entries) == 0 {
		return t, nil
	}
	salt, _, err := splitEntries(l.Entries)
	if err != nil {
		return t, err
	}
	entries, err := Decode(*l)
	if err != nil {
		return t, err
	}
	t.Salt = salt[:]
	for i := range entries {
		t.Entries = append(t.Entries, textOfEntry(&entries[i]))
	}
	return t, nil
}

// link returns what t shows, with the entries encoded again.
func (t *linkText) link() (doppelboden.Link, error) {
	l := doppelboden.Link{Chain: t.Chain, Number: t.Number, At: t.At.UTC(),
		Prev: t.Prev, Root: t.Root, Hash: t.Hash}
	if len(t.Salt) == 0 {
		if len(t.Entries) != 0 {
			return l, errors.New("entries without their salt")
		}
		return l, nil
	}
	if len(t.Salt) != saltSize {
		return l, errors.New("a salt of another length")
	}
	entries := make([]doppelboden.Entry, len(t.Entries))
	for i := range t.Entries {
		var err error
		if entries[i], err = t.Entries[i].entry(); err != nil {
			return l, err
		}
	}
	l.Entries = encodeEntries([saltSize]byte(t.Salt), entries)
	return l, nil
}

// VerifyExport checks an export against a public key, without anything else. It proves
// that what is in it was signed as it is, and that nothing is missing between its
// first knot and its last. The error says that it is not an export, or cut.
func VerifyExport(r io.Reader, key ed25519.PublicKey) (Report, error) {
	v := importer{}
	v.knots = knotChecker{report: &v.report, keys: []ed25519.PublicKey{key}}
	v.links = linkChecker{report: &v.report}
	v.heads = heads{report: &v.report}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	n := 0
	for lines.Scan() {
		n++
		if err := v.line(lines.Bytes()); err != nil {
			return v.report, fmt.Errorf("verify export: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return v.report, fmt.Errorf("verify export: %w", err)
	}
	if v.at != atEnd {
		return v.report, errors.New("verify export: it ends too early")
	}
	return v.report, nil
}

// The parts of an export, in their order.
type part int

const (
	atHeader part = iota
	atKnots
	atLinks
	atEnd
)

// An importer is one run of VerifyExport.
type importer struct {
	report Report
	at     part
	knots  knotChecker
	links  linkChecker
	heads  heads
}

// line checks one line of an export.
func (v *importer) line(text []byte) error {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return err
	}
	switch {
	case v.at == atHeader && head.Type == headerType:
		return v.header(text)
	case v.at == atKnots && head.Type == "knot":
		return v.knot(text)
	case (v.at == atKnots || v.at == atLinks) && head.Type == "link":
		return v.link(text)
	case (v.at == atKnots || v.at == atLinks) && head.Type == "end":
		return v.end(text)
	}
	return fmt.Errorf("%q is not expected here", head.Type)
}

func (v *importer) header(text []byte) error {
	var t headerText
	if err := exact(text, &t); err != nil {
		return err
	}
	if t.Version != exportVersion {
		return fmt.Errorf("version %d is unknown", t.Version)
	}
	v.knots.middle = !t.From.IsZero()
	v.links.middle = v.knots.middle
	v.heads.middle = v.knots.middle
	v.at = atKnots
	return nil
}

func (v *importer) knot(text []byte) error {
	var t knotText
	if err := exact(text, &t); err != nil {
		return err
	}
	k := t.knot()
	if v.heads.n+len(k.Heads) > maxHeads {
		return errors.New("too many knots for one export: take a shorter time")
	}
	v.knots.check(&k)
	v.heads.want(&k, false)
	return nil
}

func (v *importer) link(text []byte) error {
	if v.at == atKnots {
		v.heads.sort()
		v.links.tied = v.knots.tied
		v.at = atLinks
	}
	var t linkText
	if err := exact(text, &t); err != nil {
		return err
	}
	l, err := t.link()
	if err != nil {
		return err
	}
	v.links.check(&l)
	v.heads.see(&l)
	return nil
}

func (v *importer) end(text []byte) error {
	var t endText
	if err := exact(text, &t); err != nil {
		return err
	}
	v.at = atEnd
	v.heads.sort()
	v.heads.end()
	if t.Knots != v.report.Knots || t.Links != v.report.Links {
		return fmt.Errorf("it announces %d knots and %d links, and holds %d and %d",
			t.Knots, t.Links, v.report.Knots, v.report.Links)
	}
	return nil
}
