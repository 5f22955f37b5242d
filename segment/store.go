package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/disk"
)

// A Wrapper wraps the keys of bodies with those of tenants. Package keyring has one.
// Its methods are called by several goroutines.
type Wrapper interface {
	// Wrap returns bodyKey wrapped by the tenant's newest key, and that key's version.
	Wrap(t doppelboden.TenantID, bodyKey *[32]byte) (wrapped []byte, version int, err error)
	// Unwrap gives back what Wrap was given.
	Unwrap(t doppelboden.TenantID, version int, wrapped []byte) ([32]byte, error)
}

// Options say where and how to keep bodies.
type Options struct {
	Dir     string           // the folder; made when missing
	Keys    Wrapper          // required
	Clock   func() time.Time // required; decides the day
	MaxFile int64            // bytes after which a segment is ended; 0: 1 GiB
	Log     *slog.Logger     // nil: none
	FS      disk.FS          // nil: that of the machine
}

const (
	defaultMaxFile = 1 << 30 // one file of a busy hour; small enough to read at a start

	// maxUnsynced bounds the bytes that are kept in memory for writing them again after
	// a failed sync. Accept syncs every few milliseconds; this is for who does not.
	maxUnsynced = 32 << 20
)

// validate fills in defaults.
func (o *Options) validate() error {
	if o.Dir == "" || o.Keys == nil || o.Clock == nil {
		return errors.New("segment options: Dir, Keys and Clock are required")
	}
	if o.MaxFile == 0 {
		o.MaxFile = defaultMaxFile
	}
	if o.MaxFile < 0 {
		return fmt.Errorf("segment options: MaxFile is %d, must be positive", o.MaxFile)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	return nil
}

// A Store keeps bodies in one folder, which no other process may write. Its methods
// may be called by several goroutines.
type Store struct {
	opts  Options
	group *disk.Group // runs syncAll

	mu      sync.Mutex
	closed  bool
	current *writing       // nil until the first Put
	retired []*writing     // full or of an earlier day, not yet ended
	numbers map[string]int // by day: the highest number of a segment

	layout  layout
	buffers buffers
	chunks  chunkBuffers
}

// A writing is a segment that this process writes.
type writing struct {
	place place
	name  string // of place
	*disk.Appender
}

// Open opens the folder, which must not be open elsewhere. It reads every segment that
// was not ended in order, gives the room that was reserved behind it back, and returns
// the damage that it found there. It removes big files that never became whole. A
// folder that can be read but not written is no error.
func Open(o Options) (*Store, []Damage, error) {
	if err := o.validate(); err != nil {
		return nil, nil, err
	}
	s := &Store{opts: o, numbers: make(map[string]int)}
	s.group = disk.NewGroup(s.syncAll)
	entries, err := o.FS.List(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil, s.makeRoot()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open segments: %w", err)
	}
	var found []Damage
	for _, e := range entries {
		if !e.Dir || !isDay(e.Name) {
			continue
		}
		damage, err := s.recoverDay(e.Name)
		if err != nil {
			return nil, nil, fmt.Errorf("open segments of %s: %w", e.Name, err)
		}
		found = append(found, damage...)
	}
	return s, found, nil
}

// makeRoot makes the store's folder.
func (s *Store) makeRoot() error {
	if err := s.opts.FS.Mkdir(s.opts.Dir); err != nil {
		return fmt.Errorf("make segment folder: %w", err)
	}
	if err := s.opts.FS.SyncDir(filepath.Dir(s.opts.Dir)); err != nil {
		return fmt.Errorf("sync folder above segments: %w", err)
	}
	return nil
}

// open returns the segment that takes a record of n bytes now. The caller holds mu.
func (s *Store) open(n int) (*writing, error) {
	if s.closed {
		return nil, fmt.Errorf("put body: %w", fs.ErrClosed)
	}
	day := dayOf(s.opts.Clock())
	if w := s.current; w != nil && w.place.day == day {
		pos, _ := w.Pos()
		if pos == 0 || pos+int64(n) <= s.opts.MaxFile {
			return w, nil
		}
	}
	w, err := s.begin(day)
	if err != nil {
		return nil, err
	}
	if s.current != nil {
		s.retired = append(s.retired, s.current)
	}
	s.current = w
	return w, nil
}

// begin makes a new segment in the folder of day. The caller holds mu.
func (s *Store) begin(day string) (*writing, error) {
	dir := filepath.Join(s.opts.Dir, day)
	if err := s.opts.FS.Mkdir(dir); err != nil {
		return nil, err
	}
	p := place{day: day, base: fmt.Sprintf("%04d", s.numbers[day]+1)}
	name := p.name()
	onPart := func(from int64) { s.layout.add(name, from) }
	a, err := disk.NewAppender(s.opts.FS, disk.Log{Dir: dir, Base: p.base, Ext: segExt}, 0,
		[]string{s.opts.Dir}, onPart)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	s.numbers[day]++ // also when somebody else's file has that number
	if err != nil {
		return nil, err
	}
	return &writing{place: p, name: name, Appender: a}, nil
}

// Sync returns nil when everything that Put and Move took before the call is on the
// disk. (A big body is there already when its Writer closes.) Callers share one sync.
//
// After an error the bytes concerned are kept in memory and written into a new file by
// the next call; only when that file is synced does Sync return nil again. So Sync
// never says that bytes are on the disk whose fsync once failed and was not repaired.
// Errors are Temporary or StorageFull.
func (s *Store) Sync() error { return s.group.Do() }

// syncAll syncs what is being written and ends what is full.
func (s *Store) syncAll() error {
	s.mu.Lock()
	retired, current := slices.Clone(s.retired), s.current
	s.mu.Unlock()
	var failed error
	for _, w := range retired {
		if err := s.retire(w); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if current != nil {
		if err := current.Sync(); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		s.opts.Log.Error("segment sync failed; its bytes will be written again into a new file", "error", failed)
	}
	return disk.Fail("sync segments", failed)
}

// retire syncs a segment into which nothing more goes, and ends it. That it was synced
// and could not be ended is no error: the next Open does it.
func (s *Store) retire(w *writing) error {
	if err := w.Sync(); err != nil {
		return err
	}
	if err := w.End(endMark); err != nil {
		s.opts.Log.Warn("segment could not be ended in order", "segment", w.name, "error", err)
	}
	s.mu.Lock()
	s.retired = slices.DeleteFunc(s.retired, func(r *writing) bool { return r == w })
	s.mu.Unlock()
	return nil
}

// endMark makes the record that ends a segment.
func endMark(pos, synced int64) []byte {
	b := make([]byte, headerSize)
	header{kind: kindEnd, offset: pos, synced: synced}.put(b)
	return b
}

// Close syncs and ends what is being written. Put and Create fail afterwards; readers
// and Writers that exist go on. It may be repeated after an error.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	if s.current != nil {
		s.retired = append(s.retired, s.current)
		s.current = nil
	}
	s.mu.Unlock()
	return s.Sync()
}

// number returns the number in a segment's base name.
func number(base string) int {
	n, err := strconv.Atoi(base)
	if err != nil {
		return 0 // not reached: isNumber has seen it
	}
	return n
}
