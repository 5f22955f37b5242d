package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
)

// testKey is the key that tests sign with; its seed is all zeros.
func testKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

func testPublicKey() ed25519.PublicKey { return PublicKey(testKey()) }

// knotterFor returns a knotter of the town that exports into dir.
func knotterFor(t *testing.T, w *town, s KnotStore, dir string) *Knotter {
	t.Helper()
	k, err := NewKnotter(KnotterOptions{Store: s, Key: testKey(), Dir: dir,
		Clock: func() time.Time { return w.now }, Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// tie ties and wants it to be as made says.
func tie(t *testing.T, k *Knotter, made bool) {
	t.Helper()
	got, err := k.Tie(context.Background())
	if err != nil {
		t.Fatalf("tie: %v", err)
	}
	if got != made {
		t.Fatalf("a knot was made: %v, want %v", got, made)
	}
}

// verified verifies the town, with exported knots in dirs.
func verified(t *testing.T, w *town, dirs ...string) Report {
	t.Helper()
	r, err := Verify(context.Background(), w, VerifyOptions{Keys: []ed25519.PublicKey{testPublicKey()}, Folders: dirs}, nil)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return r
}

func TestAKnotIsMadeWhenAHeadMovedAndOnlyThen(t *testing.T) {
	w, dir := newTown(), t.TempDir()
	k := knotterFor(t, w, w, dir)
	tie(t, k, false) // nothing is there
	w.take(1)
	tie(t, k, true)
	tie(t, k, false)
	w.take(1)
	w.take(1)
	tie(t, k, true)
	tie(t, k, false)
	if len(w.knots) != 2 {
		t.Fatalf("%d knots, want 2", len(w.knots))
	}
	for i, one := range w.knots {
		file, err := readKnot(knotPath(dir, one.Number))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(one, file); d != "" {
			t.Errorf("knot %d and its file differ (-store +file):\n%s", i+1, d)
		}
	}
	head := w.knots[1].Heads[0]
	if head.Number != 3 || head.Hash != w.links[2].Hash {
		t.Errorf("head = %+v, want link 3", head)
	}
	if r := verified(t, w, dir); !r.OK() || r.Knots != 2 || r.Files != 2 || r.Links != 3 || r.Untied != 0 {
		t.Errorf("report = %+v, want 2 knots, 2 files, 3 links and no fault", r)
	}
}

func TestTheFirstKnotOfARunAndOfADayNamesAllChainsTheOthersWhatMoved(t *testing.T) {
	w, dir := newTown(), t.TempDir()
	w.take(1)
	tie(t, knotterFor(t, w, w, dir), true)
	w.restart()
	w.take(1)
	k := knotterFor(t, w, w, dir)
	tie(t, k, true) // all
	w.take(1)
	tie(t, k, true) // what moved
	w.now = w.now.Add(24 * time.Hour)
	tie(t, k, false) // a new day alone is no reason
	w.take(1)
	tie(t, k, true) // all
	var got []int
	for _, one := range w.knots {
		got = append(got, len(one.Heads))
	}
	if d := cmp.Diff([]int{1, 2, 1, 2}, got); d != "" {
		t.Errorf("heads in each knot (-want +got):\n%s", d)
	}
	if r := verified(t, w, dir); !r.OK() || r.Chains != 2 {
		t.Errorf("report = %+v, want two chains and no fault", r)
	}
}

func TestARestartWithoutNewLinksMakesNoKnot(t *testing.T) {
	w, dir := newTown(), t.TempDir()
	w.take(1)
	tie(t, knotterFor(t, w, w, dir), true)
	tie(t, knotterFor(t, w, w, dir), false)
}

// counting counts how often the heads are read.
type counting struct {
	*town
	reads int
}

// ChainHeads implements KnotStore.
func (c *counting) ChainHeads(ctx context.Context) ([]doppelboden.Head, error) {
	c.reads++
	return c.town.ChainHeads(ctx)
}

func TestAnIdleNodeDoesNotReadTheHeads(t *testing.T) {
	w, dir := newTown(), t.TempDir()
	w.take(1)
	tie(t, knotterFor(t, w, w, dir), true)
	w.restart()
	s := &counting{town: w}
	k := knotterFor(t, w, s, dir)
	k.opts.Own = []*Chain{w.chain}
	for range 5 {
		tie(t, k, false)
	}
	if s.reads != 1 {
		t.Errorf("the heads were read %d times before the first link, want once", s.reads)
	}
	w.take(1)
	tie(t, k, true)
	tie(t, k, false)
	if s.reads != 2 {
		t.Errorf("the heads were read %d times, want twice", s.reads)
	}
}

func TestAMissedExportIsWrittenLater(t *testing.T) {
	w, dir := newTown(), t.TempDir()
	k := knotterFor(t, w, w, dir)
	w.take(1)
	tie(t, k, true)
	folder := filepath.Dir(knotPath(dir, 1))
	away := folder + ".away"
	if err := os.Rename(folder, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // the export must fail
		t.Fatal(err)
	}
	for range 3 {
		w.take(1)
		if made, err := k.Tie(context.Background()); !made || err == nil {
			t.Fatalf("tie without a folder = %v, %v, want a knot and an error", made, err)
		}
	}
	if err := errors.Join(os.Remove(folder), os.Rename(away, folder)); err != nil {
		t.Fatal(err)
	}
	tie(t, k, false)
	if r := verified(t, w, dir); r.Files != 4 || !r.OK() {
		t.Errorf("report = %+v, want 4 files and no fault", r)
	}

	// Nor does a restart forget them.
	for n := range int64(4) {
		if err := os.Remove(knotPath(dir, n+1)); err != nil {
			t.Fatal(err)
		}
	}
	tie(t, knotterFor(t, w, w, dir), false)
	if r := verified(t, w, dir); r.Files != 4 || !r.OK() {
		t.Errorf("after a restart: report = %+v, want 4 files and no fault", r)
	}
}

// unsure commits a knot and says that it could not.
type unsure struct {
	*town
	failures int
}

// PutKnot implements KnotStore.
func (u *unsure) PutKnot(ctx context.Context, k doppelboden.Knot) error {
	err := u.town.PutKnot(ctx, k)
	if u.failures > 0 {
		u.failures--
		return errBroken
	}
	return err
}

func TestAKnotWhoseCommitIsUnknownIsWrittenAgainAsItWas(t *testing.T) {
	w, dir := newTown(), t.TempDir()
	s := &unsure{town: w, failures: 1}
	k := knotterFor(t, w, s, dir)
	w.take(1)
	if _, err := k.Tie(context.Background()); !errors.Is(err, errBroken) {
		t.Fatalf("error = %v, want %v", err, errBroken)
	}
	w.take(1) // comes too late for the pending knot
	tie(t, k, true)
	tie(t, k, true)
	if r := verified(t, w, dir); !r.OK() || r.Knots != 2 || r.Untied != 0 {
		t.Errorf("report = %+v, want 2 knots and no fault", r)
	}
}

func TestAKnotOfAnotherWithTheSameNumberIsFollowed(t *testing.T) {
	w, dir := newTown(), t.TempDir()
	k := knotterFor(t, w, w, dir)
	w.take(1)
	tie(t, k, true)
	w.take(1)
	tie(t, knotterFor(t, w, w, dir), true) // a rival makes knot 2
	w.take(1)
	if _, err := k.Tie(context.Background()); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Fatalf("error = %v, want that the number is taken", err)
	}
	tie(t, k, true)
	if r := verified(t, w, dir); !r.OK() || r.Knots != 3 {
		t.Errorf("report = %+v, want 3 knots and no fault", r)
	}
}

func TestARolledBackDatabaseIsNoticedAndNoExportReplaced(t *testing.T) {
	w, dir := newTown(), t.TempDir()
	k := knotterFor(t, w, w, dir)
	for range 3 {
		w.take(1)
		tie(t, k, true)
	}
	w.knots, w.links = w.knots[:1], w.links[:1] // the backup of an hour ago
	w.restart()
	k = knotterFor(t, w, w, dir)
	if _, err := k.Tie(context.Background()); !errors.Is(err, ErrRolledBack) {
		t.Errorf("error = %v, want %v", err, ErrRolledBack)
	}
	w.take(1)
	if _, err := k.Tie(context.Background()); !errors.Is(err, ErrRolledBack) {
		t.Errorf("error = %v, want %v", err, ErrRolledBack)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "000000000002*.json"))
	if err != nil || len(found) != 2 {
		t.Errorf("files of knot 2 = %v, want the old and the new one", found)
	}
	tie(t, k, false) // said once
	r := verified(t, w, dir)
	text := ""
	for _, f := range r.Findings {
		text += f.What + "\n"
	}
	for _, want := range []string{"the database holds another", "the database does not hold it", "is missing, says the exported knot 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("findings lack %q:\n%s", want, text)
		}
	}
}

// TestWhatSomebodyHasSeenOfARolledBackDatabaseIsNotSaidAgainAndTheNextTimeIs turns red when a
// restart forgets what nobody has seen, when it says what somebody has seen, and when what was
// seen hides what is lost later.
func TestWhatSomebodyHasSeenOfARolledBackDatabaseIsNotSaidAgainAndTheNextTimeIs(t *testing.T) {
	w, dir := newTown(), t.TempDir()
	k := knotterFor(t, w, w, dir)
	back := func(to int) { // as a backup has it
		w.knots, w.links = w.knots[:to], w.links[:to]
	}
	restart := func() {
		w.restart()
		k = knotterFor(t, w, w, dir)
	}
	said := func(when string, want bool) {
		t.Helper()
		if _, err := k.Tie(context.Background()); errors.Is(err, ErrRolledBack) != want || err != nil && !want {
			t.Errorf("%s: %v, said is wanted %v", when, err, want)
		}
	}
	seen := func() {
		t.Helper()
		w.now = w.now.Add(time.Second)
		if err := k.Seen(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Second)
	}
	unseen := func(when string, want bool) {
		t.Helper()
		if err := k.Unseen(); errors.Is(err, ErrRolledBack) != want || err != nil && !want {
			t.Errorf("%s, before the first round: %v, unseen is wanted %v", when, err, want)
		}
	}
	take := func(n int) {
		t.Helper()
		for range n {
			w.take(1)
			said("a knot more", false)
		}
	}
	take(6)
	back(3)
	restart()
	unseen("at the next start, which nobody has looked at yet", false)
	said("at the next start", true)
	said("once more in the same run", false)
	restart()
	unseen("nobody has seen it", true)
	said("nobody has seen it", true)
	restart()
	unseen("once more", true)
	seen() // before any round
	unseen("that was seen", false)
	restart()
	unseen("a restart after that was seen", false)
	take(1) // beside the old knot 4
	restart()
	take(1)
	back(3)
	restart()
	said("what came after that is lost, and the newest knot that ever left is an old one", true)
	seen()
	restart()
	said("that was seen as well", false)
	back(2)
	restart()
	said("what was there when somebody looked is lost", true)
	for range 5 { // beyond the newest knot that ever left
		w.take(1)
		k.Tie(context.Background())
	}
	restart()
	said("it has come as far as before, and nobody has seen it", true)
	seen()
	restart()
	said("at last", false)
}

func TestTheKnotterTiesInEveryIntervalUntilItIsStopped(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		k := knotterFor(t, w, w, dir)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		rounds := 0
		k.opts.Report = func(err error) {
			if err != nil {
				t.Errorf("round %d: %v", rounds, err)
			}
			if rounds++; rounds == 3 {
				cancel()
			}
			w.take(1)
		}
		w.take(1)
		began := time.Now() // the bubble's clock
		k.Run(ctx)
		if len(w.knots) != 3 || time.Since(began) != 3*DefaultEvery {
			t.Errorf("%d knots after %v, want 3 after %v", len(w.knots), time.Since(began), 3*DefaultEvery)
		}
	})
}

func TestAKeyIsForItsOwnerAloneAndNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.key")
	made, err := NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
	}
	loaded, err := LoadKey(path)
	if err != nil || !loaded.Equal(made) {
		t.Errorf("loaded another key: %v", err)
	}
	if _, err := NewKey(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second key: %v, want %v", err, os.ErrExist)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("a key that others may read: %v, want Invalid", err)
	}
}

func TestAPublicKeyTravelsAsPEM(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.pub")
	text, err := MarshalPublicKey(testPublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := LoadPublicKey(path)
	if err != nil || !got.Equal(testPublicKey()) {
		t.Errorf("public key = %x, %v, want %x", got, err, testPublicKey())
	}
	if _, err := LoadKey(path); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("a public key as a private one: %v, want Invalid", err)
	}
}

func TestAKnotterNeedsAStoreAKeyAndAFolder(t *testing.T) {
	if _, err := NewKnotter(KnotterOptions{}); err == nil {
		t.Error("a knotter of nothing")
	}
}
