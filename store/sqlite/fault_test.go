package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doppelboden"
)

var errDisk = fmt.Errorf("disk: %w", syscall.EIO)

// withFaults opens a store whose faults the test plans.
func withFaults(t *testing.T) (*Store, *script) {
	f := &script{}
	return openNew(t, func(o *Options) { o.faults = f.faults() }), f
}

func TestACommitWhoseOutcomeIsUnknownIsWrittenAgainAndCountsOnce(t *testing.T) {
	for name, at := range map[string]fault{"it had not been written": faultBeforeCommit, "it had been written": faultAfterCommit} {
		t.Run(name, func(t *testing.T) {
			s, f := withFaults(t)
			accept(t, s)
			f.next(at, errDisk)
			m := accept(t, s)
			f.next(at, errDisk)
			if err := s.Note(ctx, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: time.Now(), Note: "version 1"}); err != nil {
				t.Fatal(err)
			}
			accept(t, s)
			if got, err := s.Message(ctx, m.ID); err != nil || got.Deliveries[0].Seq != m.Deliveries[0].Seq {
				t.Errorf("the message of the unknown commit: %v, wanted it with Seq %d", err, m.Deliveries[0].Seq)
			}
			if n := entriesIn(links(t, s)); n != 4 {
				t.Errorf("%d entries in the ledger, wanted 4: three messages and a note, each once", n)
			}
			if n := rows(t, s); n != 3 {
				t.Errorf("%d deliveries, wanted 3", n)
			}
			checkCounts(t, s)
			if err := s.Ready(); err != nil {
				t.Errorf("not ready after all went well in the end: %v", err)
			}
		})
	}
}

func TestACommitThatKeepsFailingIsAnErrorAndTheStoreGoesOnByItself(t *testing.T) {
	for name, at := range map[string]fault{"before": faultBeforeCommit, "after": faultAfterCommit} {
		t.Run(name, func(t *testing.T) {
			s, f := withFaults(t)
			var made realistic
			m := made.message(1)
			f.next(at, errDisk, errDisk, errDisk, errDisk)
			_, err := s.Accept(ctx, m)
			if code := doppelboden.CodeOf(err); err == nil || code != doppelboden.Temporary {
				t.Fatalf("Accept: %v with code %v, wanted a temporary error", err, code)
			}
			if public := doppelboden.PublicOf(err); public != publicStorage {
				t.Errorf("a peer reads %q, wanted %q", public, publicStorage)
			}
			if s.Ready() == nil {
				t.Errorf("ready after a commit that failed")
			}
			// Two errors are left for the probe; after them it finds a good disk.
			eventually(t, "ready again", func() bool { return s.Ready() == nil })
			if _, err := s.Accept(ctx, m); err != nil {
				t.Fatalf("Accept of the same message on a good disk: %v", err)
			}
			accept(t, s)
			if n := entriesIn(links(t, s)); n != 2 {
				t.Errorf("%d entries in the ledger, wanted 2", n)
			}
			checkCounts(t, s)
		})
	}
}

func TestAReadOnlyDatabaseIsTemporaryAndSaysSo(t *testing.T) {
	s, f := withFaults(t)
	reader, err := connect(s.opts.Path, "FULL", reading)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.close()
	_, readOnly := reader.exec(ctx, "UPDATE probe SET at = 1")
	if readOnly == nil {
		t.Fatal("a reader could write")
	}
	f.next(faultRun, readOnly)
	var made realistic
	_, err = s.Accept(ctx, made.message(1))
	if doppelboden.CodeOf(err) != doppelboden.Temporary || doppelboden.PublicOf(err) != publicReadOnly {
		t.Errorf("Accept: code %v, public %q, wanted temporary and %q", doppelboden.CodeOf(err), doppelboden.PublicOf(err), publicReadOnly)
	}
	if err := s.Ready(); err == nil || doppelboden.PublicOf(err) != publicReadOnly {
		t.Errorf("Ready: %v, wanted that it is read-only", err)
	}
	eventually(t, "ready again", func() bool { return s.Ready() == nil })
	accept(t, s)
}

func TestErrorsOfTheFileSystemHaveCodesAndTextsThatSayThem(t *testing.T) {
	for err, want := range map[error]struct {
		code   doppelboden.Code
		public string
	}{
		fmt.Errorf("sync: %w", syscall.ENOSPC):    {doppelboden.StorageFull, publicFull},
		fmt.Errorf("sync: %w", syscall.EDQUOT):    {doppelboden.StorageFull, publicFull},
		fmt.Errorf("sync: %w", syscall.EROFS):     {doppelboden.Temporary, publicReadOnly},
		fmt.Errorf("sync: %w", syscall.EIO):       {doppelboden.Temporary, publicStorage},
		errors.Join(nil, syscall.ENOSPC, errDisk): {doppelboden.StorageFull, publicFull},
	} {
		got := outward(err)
		if doppelboden.CodeOf(got) != want.code || doppelboden.PublicOf(got) != want.public {
			t.Errorf("%v: code %v, public %q, wanted %v, %q", err, doppelboden.CodeOf(got), doppelboden.PublicOf(got), want.code, want.public)
		}
		if strings.Contains(doppelboden.PublicOf(got), "sync") {
			t.Errorf("%v: a peer would read the cause", err)
		}
	}
}

func TestWhatArrivesAtTheSameMomentSharesOneCommitAndOneLink(t *testing.T) {
	holding, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := openNew(t, func(o *Options) {
		o.faults = &faults{at: func(at fault, _ *op) error {
			if at == faultRun {
				once.Do(func() { close(holding); <-release })
			}
			return nil
		}}
	})
	const callers = 60
	var made realistic
	var wg sync.WaitGroup
	start := func() {
		m := made.message(1)
		wg.Go(func() {
			if _, err := s.Accept(ctx, m); err != nil {
				t.Error(err)
			}
		})
	}
	start()
	<-holding // the first has the writer for itself
	for range callers {
		start()
	}
	close(release)
	wg.Wait()
	all := links(t, s)
	// Those that came late by a hair make a batch of their own.
	if len(all) > 8 || entriesIn(all) != callers+1 {
		t.Errorf("%d links with %d entries, wanted a few with %d", len(all), entriesIn(all), callers+1)
	}
}
