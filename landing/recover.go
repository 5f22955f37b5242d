package landing

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"doppelboden"
	"doppelboden/disk"
)

// A Damage names bytes of the journal that are not what was written.
type Damage struct {
	File   string // without the folder
	Offset int64  // in bytes
	Length int64  // in bytes
}

// Error names the damage in one line.
func (d *Damage) Error() string {
	return fmt.Sprintf("%s: %d bytes at %d are not what was written", d.File, d.Length, d.Offset)
}

// recoverJournal opens the logs in dir as a crash may have left them. whole says of a
// message that nobody may have been told of whether everything that it refers to is there.
func recoverJournal(fsys disk.FS, dir string, whole func(*doppelboden.Message) bool) (*journal, []*Damage, error) {
	j := &journal{fs: fsys, dir: dir}
	entries, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = fsys.Mkdir(dir); err == nil {
			err = fsys.SyncDir(filepath.Dir(dir))
		}
	}
	if err != nil {
		return nil, nil, err
	}
	var found []*Damage
	parts := disk.Parts(entries, ext)
	for _, base := range slices.Sorted(maps.Keys(parts)) {
		if !isDay(base) {
			continue
		}
		d := &day{base: base, parts: parts[base]}
		damage, err := j.recoverDay(d, whole)
		if err != nil {
			return nil, nil, fmt.Errorf("read the journal of %s: %w", base, err)
		}
		found = append(found, damage...)
		j.days = append(j.days, d)
	}
	return j, found, nil
}

// recoverDay finds the end of a log, and marks it when a crash kept that from happening.
// Earlier parts hold nothing but what was synced.
func (j *journal) recoverDay(d *day, whole func(*doppelboden.Message) bool) ([]*Damage, error) {
	from := d.parts[len(d.parts)-1]
	name := disk.Log{Base: d.base, Ext: ext}.Part(from)
	f, err := j.fs.OpenWrite(filepath.Join(j.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if h, _, ok, err := readRecord(f, size-headerSize); size-headerSize >= from && ok && err == nil && h.kind == kindEnd {
		// The end mark stays: what is written from here on lies in another part.
		d.end, d.messages, d.taken = size, h.before, h.before
		return nil, nil
	}
	sv, err := survey(f, name, from, size)
	if err != nil {
		return nil, err
	}
	if err := sv.cut(whole); err != nil {
		return nil, err
	}
	if len(d.parts) > 1 && sv.end == from {
		// Nothing was written behind the part before. Its counter goes on.
		sv.messages = j.messagesBefore(d, from)
	}
	if err := f.Truncate(sv.end); err != nil {
		return nil, err
	}
	mark := appendRecord(nil, kindEnd, sv.end, sv.end, sv.messages, nil)
	if _, err := f.WriteAt(mark, sv.end); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	d.end, d.messages, d.taken = sv.end+int64(len(mark)), sv.messages, sv.messages
	return sv.damage, nil
}

// messagesBefore returns how many messages lie in the parts of d before from. It is asked
// after a crash between making a part and its first record.
func (j *journal) messagesBefore(d *day, from int64) int64 {
	start := d.parts[len(d.parts)-2]
	f, err := j.fs.Open(filepath.Join(j.dir, disk.Log{Base: d.base, Ext: ext}.Part(start)))
	if err != nil {
		return 0 // the counter tells people how much waits, and nothing else
	}
	defer f.Close()
	sv, err := survey(f, "", start, from)
	if err != nil {
		return 0
	}
	return sv.messages
}

// A tail is what lies at the end of a log and may never have been acknowledged.
type tail struct {
	offset  int64
	before  int64 // messages in the log before it
	payload []byte
}

// A view is what survey saw in one part.
type view struct {
	end      int64 // of the last whole record
	sure     int64 // the greatest that a record says was on the disk
	messages int64 // before end
	tails    []tail
	damage   []*Damage
}

// survey reads a part record by record. Where there is none it looks for the next one:
// before what was sure that is damage, behind it the end.
func survey(f disk.File, name string, from, size int64) (view, error) {
	vouched, err := vouchedFor(f, from, size)
	if err != nil {
		return view{}, err
	}
	sv := view{end: from, sure: from}
	for at := from; at+headerSize <= size; {
		h, payload, ok, err := readRecord(f, at)
		if err != nil {
			return sv, err // cutting now might cut off what is only unreadable
		}
		if !ok {
			at += align
			continue
		}
		if at > sv.end && vouched <= sv.end {
			break // a hole that nothing vouches for: what follows was never sure
		}
		if at > sv.end {
			sv.damage = append(sv.damage, &Damage{File: name, Offset: sv.end, Length: at - sv.end})
		}
		sv.sure = max(sv.sure, h.sure)
		sv.tails = slices.DeleteFunc(sv.tails, func(t tail) bool { return t.offset < sv.sure })
		n := int64(0)
		if h.kind == kindCommit {
			_, count, _ := decodeLink(payload)
			n = int64(count)
		}
		sv.tails = append(sv.tails, tail{at, h.before, payload})
		sv.end, sv.messages = h.end(), h.before+n
		at = sv.end
	}
	sv.tails = slices.DeleteFunc(sv.tails, func(t tail) bool { return t.offset < sv.sure })
	return sv, nil
}

// vouchedFor returns the greatest place that a record of the part says was on the disk.
func vouchedFor(f disk.File, from, size int64) (sure int64, err error) {
	for at := from; at+headerSize <= size; {
		h, _, ok, err := readRecord(f, at)
		if err != nil {
			return 0, err
		}
		if !ok {
			at += align
			continue
		}
		sure, at = max(sure, h.sure), h.end()
	}
	return sure, nil
}

// cut shortens the view to what was acknowledged or could have been: a record behind what
// was sure counts only with everything that it refers to, and with all that came before.
func (sv *view) cut(whole func(*doppelboden.Message) bool) error {
	for _, t := range sv.tails {
		if len(t.payload) == 0 {
			continue
		}
		landed, err := decodeLanded(t.payload)
		if err != nil {
			return err
		}
		for _, m := range landed.Messages {
			if !whole(m) {
				sv.end, sv.messages = t.offset, t.before
				return nil
			}
		}
	}
	return nil
}
