package landing

import (
	"fmt"
	"path/filepath"
	"time"

	"doppelboden/disk"
)

const (
	// markFile holds how far the journal was drained when it was written. It is for people
	// alone: after a start without the working store it tells how much waits for it. What is
	// drained, the store is asked.
	markFile = "drained"
	// markEvery is how old the mark may be.
	markEvery = 5 * time.Second
)

// A mark is a place up to which the journal is drained.
type mark struct {
	at     place
	before int64 // messages in the log of at before it
}

// readMark reads what the last run noted; the zero mark when nobody knows.
func readMark(fsys disk.FS, dir string) (m mark) {
	f, err := fsys.Open(filepath.Join(dir, markFile))
	if err != nil {
		return mark{}
	}
	defer f.Close()
	text := make([]byte, 64)
	n, _ := f.ReadAt(text, 0) // it ends before
	if _, err := fmt.Sscanf(string(text[:n]), "%s %d %d", &m.at.day, &m.at.offset, &m.before); err != nil {
		return mark{}
	}
	if _, err := time.Parse(dayForm, m.at.day); err != nil {
		return mark{}
	}
	return m
}

// writeMark notes how far the journal is drained, when that has changed and is not less than
// what is noted.
func (d *drainer) writeMark() {
	d.mu.Lock()
	now := mark{d.at, d.before}
	old := now == d.mark || now.at.before(d.mark.at)
	d.mu.Unlock()
	if old {
		return
	}
	text := fmt.Sprintf("%s %d %d\n", now.at.day, now.at.offset, now.before)
	if err := disk.Replace(d.l.opts.FS, filepath.Join(d.l.opts.Dir, markFile), []byte(text)); err != nil {
		d.l.opts.Log.Warn("how far the landing is drained cannot be noted", "err", err)
		return
	}
	d.mu.Lock()
	d.mark = now
	d.mu.Unlock()
}
