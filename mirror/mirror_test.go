package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/disk/diskfault"
	"doppelboden/store"
)

// A fake is a database that keeps mailboxes, and says what else it is told to say. What it
// does not have panics, so that nobody asks for it.
type fake struct {
	store.Store
	mu    sync.Mutex // over boxes, reads and rest.Listings
	boxes []doppelboden.Mailbox
	rest  rest
	fail  error // of every call
	reads int   // walks over all mailboxes
}

func (f *fake) Tenants(context.Context) ([]doppelboden.Tenant, error) { return f.rest.Tenants, f.fail }
func (f *fake) Standings(context.Context) ([]store.Standing, error)   { return f.rest.Standings, f.fail }
func (f *fake) Listings(context.Context) ([]store.Listing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rest.Listings), f.fail
}
func (f *fake) TenantKeys(context.Context) ([]store.TenantKey, error) { return f.rest.Keys, f.fail }
func (f *fake) Pinned(context.Context, string) (int64, error)         { return f.rest.Config.Version, f.fail }
func (f *fake) PutListing(_ context.Context, l store.Listing) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		f.rest.Listings = append(f.rest.Listings, l)
	}
	return f.fail
}

func (f *fake) Config(context.Context, int64) (store.ConfigVersion, error) {
	return f.rest.Config, f.fail
}

func (f *fake) Ways(_ context.Context, yield func(store.Way) error) error {
	return errors.Join(f.fail, each(f.rest.Ways, yield))
}

func (f *fake) Destinations(_ context.Context, yield func(doppelboden.Destination) error) error {
	return errors.Join(f.fail, each(f.rest.Destinations, yield))
}

func (f *fake) Mailboxes(_ context.Context, yield func(doppelboden.Mailbox) error) error {
	f.mu.Lock()
	f.reads++
	boxes := slices.Clone(f.boxes)
	f.mu.Unlock()
	return errors.Join(f.fail, each(boxes, yield))
}

func (f *fake) PutMailboxes(_ context.Context, boxes []doppelboden.Mailbox) ([]doppelboden.Mailbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		f.boxes = append(f.boxes, boxes...)
	}
	return boxes, f.fail
}

// keeper returns a keeper of f's mirror.
func keeper(t testing.TB, fsys disk.FS, f *fake) *Keeper {
	t.Helper()
	k, err := NewKeeper(keeperOptions(fsys, f))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keeperOptions(fsys disk.FS, f *fake) Options {
	return Options{FS: fsys, Dir: "mirror", Node: "node1", From: f, Clock: time.Now, Log: slog.New(slog.DiscardHandler),
		Registry: prometheus.NewRegistry(), Refuse: func() error { return nil }}
}

func box(n int) doppelboden.Mailbox {
	return doppelboden.Mailbox{ID: doppelboden.MailboxID(n), Tenant: 1, Address: doppelboden.Address{Local: fmt.Sprint("u", n), Domain: "stadt.example"},
		Kind: doppelboden.Person, Priority: 5, Department: "Bürgerbüro", Aliases: []doppelboden.Address{{Local: fmt.Sprint("a", n), Domain: "stadt.example"}}}
}

func TestAMirrorSaysWhatTheDatabaseSaid(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Microsecond)
	f := &fake{boxes: []doppelboden.Mailbox{box(1), box(2)}, rest: rest{
		Config:    store.ConfigVersion{Version: 7, Text: []byte("format = 1\n"), By: "anna", At: at},
		Tenants:   []doppelboden.Tenant{{ID: 1, Name: "stadt"}},
		Standings: []store.Standing{{Tenant: 1, State: store.TenantPaused, Stops: true, Why: "x", By: "anna", At: at}},
		Listings:  []store.Listing{{Tenant: 1, Source: "ad", Read: at, Tried: at}},
		Ways:      []store.Way{{Tenant: 1, Mailbox: 2, Route: "new", Also: []string{"old"}, By: "anna", At: at}},
		Destinations: []doppelboden.Destination{
			{ID: -1, Tenant: 1, Mailbox: 2, Route: "old"}, {ID: -2, Tenant: 1, Domain: "far.example"}},
		Keys: []store.TenantKey{{Tenant: 1, Version: 2, MasterVersion: 1, Wrapped: []byte{1, 2}, At: at}},
	}}
	fsys := new(diskfault.Disk)
	k := keeper(t, fsys, f)
	if err := k.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := Load(fsys, "mirror", "node1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := f.rest
	want.Node, want.At, want.Destinations = "node1", s.At(), f.rest.Destinations[:1]
	if diff := cmp.Diff(want, s.rest); diff != "" {
		t.Errorf("directory (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(f.boxes, s.mailboxes); diff != "" {
		t.Errorf("mailboxes (-want +got):\n%s", diff)
	}
	if s.Behind() {
		t.Error("a mirror without a change since says that it is behind")
	}
	if old, err := Load(fsys, "mirror", "node1", time.Now().Add(provesFor+time.Minute)); err != nil || !old.Behind() {
		t.Errorf("a mirror of the day before yesterday: behind %v (%v), want that it proves nothing", old.Behind(), err)
	}
	if _, err := s.Config(t.Context(), 6); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("another version of the configuration: %v, want not found", err)
	}
	if _, err := Load(fsys, "mirror", "node2", time.Now()); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("the mirror of another node: %v, want invalid", err)
	}
}

func TestWithoutAMirrorThereIsNone(t *testing.T) {
	if _, err := Load(new(diskfault.Disk), "mirror", "node1", time.Now()); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("no folder: %v, want not found", err)
	}
}

func TestADamagedMirrorIsNotBelieved(t *testing.T) {
	for _, name := range []string{restFile, mailboxesFile} {
		fsys := new(diskfault.Disk)
		if err := keeper(t, fsys, &fake{boxes: []doppelboden.Mailbox{box(1)}}).Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		name = filepath.Join("mirror", name)
		whole := slices.Clone(fsys.Bytes(name))
		for at := range whole {
			bad := slices.Clone(whole)
			bad[at] ^= 1
			replace(t, fsys, name, bad)
			if _, err := Load(fsys, "mirror", "node1", time.Now()); doppelboden.CodeOf(err) != doppelboden.Invalid {
				t.Fatalf("%s with byte %d changed: %v, want invalid", name, at, err)
			}
			replace(t, fsys, name, whole[:at])
			if _, err := Load(fsys, "mirror", "node1", time.Now()); doppelboden.CodeOf(err) != doppelboden.Invalid {
				t.Fatalf("%s cut off at byte %d: %v, want invalid", name, at, err)
			}
		}
	}
}

// replace writes a file of the fake disk anew.
func replace(t *testing.T, fsys disk.FS, name string, text []byte) {
	t.Helper()
	if err := disk.Replace(fsys, name, text); err != nil {
		t.Fatal(err)
	}
}

// TestAMirrorThatDoesNotSayThatItIsBehindHasEveryMailbox plays changes, writings, faults of
// the disk and of the database, and a crash that forgets what was not synced. It was shown
// to find its fault: with the marker made after the change instead of before it, with the
// marker removed although a change came during the writing, and with a marker that is not
// synced, it turns red within seconds.
func TestAMirrorThatDoesNotSayThatItIsBehindHasEveryMailbox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fsys, f, ctx := new(diskfault.Disk), &fake{}, context.Background()
		var broken string
		during := func() {} // what happens while a mirror is written
		fsys.Fault = func(op, name string) error {
			if filepath.Base(name) == mailboxesFile {
				do := during
				during = func() {}
				do()
			}
			if op == broken {
				return syscall.EIO
			}
			return nil
		}
		k, err := NewKeeper(keeperOptions(fsys, f))
		if err != nil {
			t.Fatal(err)
		}
		s := k.Watch(f)
		next := 0
		change := func() {
			next++
			s.PutMailboxes(ctx, []doppelboden.Mailbox{box(next)}) // with an error it is not there
		}
		faults := rapid.SampledFrom([]string{"", "", diskfault.OpSync, diskfault.OpSyncDir, diskfault.OpWrite, diskfault.OpCreate, diskfault.OpRemove, diskfault.OpRename})
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			broken, f.fail = faults.Draw(t, "broken"), nil
			if rapid.Bool().Draw(t, "database dead") {
				f.fail = errors.New("no answer")
			}
			if rapid.Bool().Draw(t, "change") {
				change()
				continue
			}
			if rapid.Bool().Draw(t, "change meanwhile") {
				during = change
			}
			k.Write(ctx) // whatever it says
		}
		broken, during = "", func() {}
		fsys.Crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
		got, err := Load(fsys, "mirror", "node1", time.Now())
		if err != nil {
			if code := doppelboden.CodeOf(err); code != doppelboden.NotFound {
				t.Fatalf("after the crash: %v", err)
			}
			return
		}
		if !got.Behind() && len(got.mailboxes) != len(f.boxes) {
			t.Fatalf("the mirror has %d mailboxes, the database %d, and nothing says so", len(got.mailboxes), len(f.boxes))
		}
	})
}

func TestWhileTheMirrorIsBehindEveryListIsBeingWritten(t *testing.T) {
	fsys, f := new(diskfault.Disk), &fake{rest: rest{Tenants: []doppelboden.Tenant{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}}}}
	k := keeper(t, fsys, f)
	if err := k.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Watch(f).PutMailboxes(t.Context(), []doppelboden.Mailbox{box(1)}); err != nil {
		t.Fatal(err)
	}
	s, err := Load(fsys, "mirror", "node1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	list, _ := s.Listings(t.Context())
	writing := map[doppelboden.TenantID]bool{}
	for _, l := range list {
		writing[l.Tenant] = l.Writing
	}
	if !s.Behind() || !writing[1] || !writing[2] {
		t.Errorf("behind %v, listings %+v: want behind, and both tenants' lists being written", s.Behind(), list)
	}
}

func TestADatabaseThatIsKnownToBeAwayLeavesNoMarker(t *testing.T) {
	fsys, f := new(diskfault.Disk), &fake{}
	o := keeperOptions(fsys, f)
	away := errors.New("away")
	o.Refuse = func() error { return away }
	k, err := NewKeeper(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Watch(f).PutMailboxes(t.Context(), []doppelboden.Mailbox{box(1)}); !errors.Is(err, away) || len(f.boxes) > 0 {
		t.Errorf("a change while the database is away: %v with %d mailboxes, want that it does not begin", err, len(f.boxes))
	}
	if s, err := Load(fsys, "mirror", "node1", time.Now()); err != nil || s.Behind() {
		t.Errorf("the mirror is behind (%v)", err)
	}
}

func TestManyChangesAreWrittenSoonAndTogetherAndListingsDoNotReadMailboxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys, f := new(diskfault.Disk), &fake{}
		k := keeper(t, fsys, f)
		s := k.Watch(f)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.Run(ctx)
		}()
		synctest.Wait()
		for n := range 1000 { // an import of ten seconds
			if _, err := s.PutMailboxes(ctx, []doppelboden.Mailbox{box(n)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * least)
		if got, err := Load(fsys, "mirror", "node1", time.Now()); err != nil || got.Behind() || len(got.mailboxes) != 1000 {
			t.Errorf("after the import the mirror is %+v (%v), want 1,000 mailboxes and nothing behind", got, err)
		}
		if most := 2 + int(10*time.Second/least); f.reads > most {
			t.Errorf("all mailboxes were read %d times, want at most %d", f.reads, most)
		}
		reads := f.reads
		for range 10 {
			if err := s.PutListing(ctx, store.Listing{Tenant: 1, Source: "ad"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * least)
		}
		if got, err := Load(fsys, "mirror", "node1", time.Now()); err != nil || len(got.rest.Listings) != 10 || f.reads != reads {
			t.Errorf("after ten listings the mirror has %d (%v), and all mailboxes were read %d times more; want 10 and 0", len(got.rest.Listings), err, f.reads-reads)
		}
		cancel()
		<-done
	})
}

// BenchmarkWriting100000Mailboxes is what a change of one mailbox costs a large city, at
// most once in a while: see share.
func BenchmarkWriting100000Mailboxes(b *testing.B) {
	f := &fake{}
	for n := range 100_000 {
		f.boxes = append(f.boxes, box(n))
	}
	o := keeperOptions(disk.OS{}, f)
	o.Dir = b.TempDir()
	k, err := NewKeeper(o)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		k.whole = false
		if err := k.Write(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	if _, err := Load(disk.OS{}, o.Dir, "node1", time.Now()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s/load")
}
