package landing

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/store"
)

// asideExt ends the names of files that hold a message which the working store refused for
// its own sake. They are tried again at every start and every hour, and stay until then.
const asideExt = ".aside"

// putAside keeps messages of a link for later and says so loudly.
func (d *drainer) putAside(link *store.Landed, why error) error {
	for _, m := range link.Messages {
		d.l.opts.Log.Error("a message that landed cannot be drained; it is kept aside", "message", m.ID.String(), "err", why)
		payload := appendLanded(nil, &link.Link, [][]byte{appendMessage(nil, m)})
		rec := appendRecord(nil, kindCommit, 0, 0, 0, payload)
		err := disk.Replace(d.l.opts.FS, filepath.Join(d.l.opts.Dir, m.ID.String()+asideExt), rec)
		if err != nil {
			return disk.Fail("keep a message aside", err)
		}
		d.mu.Lock()
		d.aside[m.ID] = why
		d.mu.Unlock()
	}
	return nil
}

// tryAside tries to drain what lies aside.
func (d *drainer) tryAside(ctx context.Context) {
	entries, err := d.l.opts.FS.List(d.l.opts.Dir)
	if err != nil {
		d.l.opts.Log.Error("what lies aside cannot be listed", "err", err)
		return
	}
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name, asideExt)
		id, err := doppelboden.ParseID(stem)
		if !ok || err != nil {
			continue
		}
		err = d.tryOne(ctx, filepath.Join(d.l.opts.Dir, e.Name))
		d.mu.Lock()
		if err != nil {
			d.aside[id] = err
		} else {
			delete(d.aside, id)
		}
		d.mu.Unlock()
	}
}

// tryOne drains the message in a file and removes the file when the store has it.
func (d *drainer) tryOne(ctx context.Context, name string) error {
	f, err := d.l.opts.FS.Open(name)
	if err != nil {
		return err
	}
	_, payload, ok, err := readRecord(f, 0)
	f.Close()
	if err != nil {
		return err
	}
	if !ok {
		return &os.PathError{Op: "read", Path: name, Err: errPayload}
	}
	landed, err := decodeLanded(payload)
	if err != nil {
		return err
	}
	if err := d.l.opts.Store.Drain(ctx, []store.Landed{landed}); err != nil {
		return err
	}
	inDoubt(landed.Messages)
	d.l.opts.Drained(landed.Messages)
	return d.l.opts.FS.Remove(name)
}
