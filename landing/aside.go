package landing

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/store"
)

// asideExt ends the names of files that hold the messages of a link which the working store
// refused for their own sake, or which it was not offered yet when the node ended. They are
// tried again at every start and every hour, and stay until then.
const asideExt = ".aside"

// putAside keeps the messages of a link and returns the file's name.
func (d *drainer) putAside(link *store.Landed) (name string, err error) {
	var encoded [][]byte
	for _, m := range link.Messages {
		encoded = append(encoded, appendMessage(nil, m))
	}
	name = filepath.Join(d.l.opts.Dir, link.Messages[0].ID.String()+asideExt)
	return name, d.writeAside(name, &link.Link, encoded)
}

func (d *drainer) writeAside(name string, link *doppelboden.Link, encoded [][]byte) error {
	rec := appendRecord(nil, kindCommit, 0, 0, 0, appendLanded(nil, link, encoded))
	return disk.Fail("keep messages aside", disk.Replace(d.l.opts.FS, name, rec))
}

// pieces drains what lies aside in a file, the link and then message by message, and leaves
// in the file what is refused, about which it is loud. It returns what the store has now.
func (d *drainer) pieces(name string, all store.Landed, drain func(store.Landed) error) (in []*doppelboden.Message, err error) {
	refused := drain(store.Landed{Link: all.Link, Aside: true})
	if refused != nil && !doppelboden.CodeOf(refused).Permanent() {
		return nil, refused
	}
	var left [][]byte
	for _, m := range all.Messages {
		kept, why := appendMessage(nil, m), refused // before the store has told m anything
		if why == nil {
			why = drain(store.Landed{Link: all.Link, Messages: []*doppelboden.Message{m}, Aside: true})
		}
		switch {
		case why == nil:
			in = append(in, m)
		case doppelboden.CodeOf(why).Permanent():
			d.l.opts.Log.Error("a message that landed cannot be drained; it is kept aside", "message", m.ID.String(), "err", why)
			left = append(left, kept)
		default:
			return in, why
		}
		d.asideNow(m.ID, why)
	}
	switch len(left) {
	case 0:
		err = d.l.opts.FS.Remove(name)
	case len(all.Messages):
	default:
		err = d.writeAside(name, &all.Link, left)
	}
	return in, err
}

// asideNow notes why a message lies aside; nil: it does not any more.
func (d *drainer) asideNow(id doppelboden.ID, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.aside[id] = why; why == nil {
		delete(d.aside, id)
	}
}

// errNotTried stands for what lay aside already when this run began.
var errNotTried = errors.New("it has not been offered to the database again yet")

// findAside notes what lies aside, so that everybody knows of it before it is tried.
func (d *drainer) findAside() error {
	return d.eachAside(func(id doppelboden.ID, _ string) { d.asideNow(id, errNotTried) })
}

// tryAside tries to drain what lies aside.
func (d *drainer) tryAside(ctx context.Context) {
	err := d.eachAside(func(id doppelboden.ID, name string) {
		d.asideNow(id, nil) // tryOne notes each message that is refused again
		if err := d.tryOne(ctx, name); err != nil {
			d.asideNow(id, err)
		}
	})
	if err != nil {
		d.l.opts.Log.Error("what lies aside cannot be listed", "err", err)
	}
}

// eachAside calls do for every file that lies aside, with the id of its first message.
func (d *drainer) eachAside(do func(id doppelboden.ID, name string)) error {
	entries, err := d.l.opts.FS.List(d.l.opts.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name, asideExt)
		if id, err := doppelboden.ParseID(stem); ok && err == nil {
			do(id, filepath.Join(d.l.opts.Dir, e.Name))
		}
	}
	return nil
}

// tryOne drains the messages in a file and removes it when the store has them all.
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
	in, err := d.pieces(name, landed, func(one store.Landed) error {
		return d.l.opts.Store.Drain(ctx, []store.Landed{one})
	})
	if len(in) > 0 {
		inDoubt(in)
		d.l.opts.Drained(in)
	}
	return err
}
