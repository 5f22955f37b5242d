package landing

import (
	"path/filepath"

	"doppelboden/disk"
)

// A reader reads the journal from place to place. One goroutine uses it.
type reader struct {
	journal *journal
	name    string    // of file
	file    disk.File // nil: none is open
}

// next returns the record at p, or the next one after it: before counts the messages of the
// log before p. Its payload is nil when it is no commit. more is false at the end of what
// is sure.
func (r *reader) next(p place, before int64) (rec landed, more bool, err error) {
	for {
		s, ok := r.journal.span(p)
		if !ok {
			return landed{}, false, nil
		}
		if s.base != p.day { // the log of p's day is gone
			p, before = place{day: s.base}, 0
		}
		if p.offset >= s.end {
			if s.next == "" {
				return landed{}, false, nil
			}
			p, before = place{day: s.next}, 0
			continue
		}
		return r.record(s, p, before)
	}
}

// record reads the record at p, which lies within s, or the next one that is whole.
func (r *reader) record(s span, p place, before int64) (landed, bool, error) {
	for at := p.offset; at < s.end; at += align {
		f, err := r.open(s, at)
		if err != nil {
			return landed{}, false, err
		}
		h, payload, ok, err := readRecord(f, at)
		if err != nil {
			return landed{}, false, disk.Fail("read the journal of "+s.base, err)
		}
		if !ok {
			continue // damaged; Open has told of it
		}
		rec := landed{at: place{s.base, at}, next: place{s.base, h.end()}, before: h.before}
		if h.kind == kindCommit {
			rec.payload = payload
			_, n, _ := decodeLink(payload)
			rec.messages = int64(n)
		}
		return rec, true, nil
	}
	return landed{at: p, next: place{s.base, s.end}, before: before}, true, nil
}

// open opens the part that holds offset at.
func (r *reader) open(s span, at int64) (disk.File, error) {
	from, ok := disk.PartOf(s.parts, at)
	if !ok {
		from = s.parts[0]
	}
	name := disk.Log{Base: s.base, Ext: ext}.Part(from)
	if r.file != nil && r.name == name {
		return r.file, nil
	}
	r.close()
	f, err := r.journal.fs.Open(filepath.Join(r.journal.dir, name))
	if err != nil {
		return nil, disk.Fail("open the journal of "+s.base, err)
	}
	r.file, r.name = f, name
	return f, nil
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}
