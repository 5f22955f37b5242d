package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/backup"
	"doppelboden/salvage"
)

// Backup is what the town answers: it refuses every folder but one.
func (w *town) Backup(_ context.Context, o backup.Options) (*backup.Made, error) {
	o.Progress("bodies", 7)
	if o.Dir != "/safe" {
		return nil, &backup.Refusal{Code: doppelboden.Invalid, Key: "the backup's folder lies within the node's own folder %s", Args: []string{o.Dir}}
	}
	keys := backup.KeysNone
	if o.Passphrase == "correct horse battery" && !o.PlainKeys {
		keys = backup.KeysSealed
	}
	return &backup.Made{Manifest: &backup.Manifest{Node: "n", Keys: keys}, Copied: 42}, nil
}

func TestABackupIsAskedOfTheNodeAndItsRefusalComesBackAsOne(t *testing.T) {
	w := newTown(t)
	made, err := w.client.Backup(t.Context(), BackupOrder{Dir: "/safe", Passphrase: "correct horse battery"})
	if err != nil || made.Manifest == nil || made.Manifest.Keys != backup.KeysSealed || made.Copied != 42 {
		t.Errorf("backup: %+v, %v; wanted the keys sealed and 42 bytes", made, err)
	}
	if len(w.progress) != 1 || w.progress[0] != (Progress{Step: "bodies", Done: 7}) {
		t.Errorf("progress: %v, wanted 7 of the bodies", w.progress)
	}
	_, err = w.client.Backup(t.Context(), BackupOrder{Dir: "/data"})
	var no *Refusal
	if !errors.As(err, &no) || len(no.Text.Args) != 1 || no.Text.Args[0] != "/data" {
		t.Errorf("backup into the data folder: wanted a refusal with its argument, got %v", err)
	}
}

// Salvage is what the town answers: it tells what it was asked.
func (w *town) Salvage(_ context.Context, from time.Time, all bool, progress func(int64)) (salvage.Report, error) {
	progress(3)
	w.period[0] = from
	if all {
		return salvage.Report{Seen: 9}, nil
	}
	return salvage.Report{Seen: 5, Back: 2, Delivered: 1, Again: 1}, nil
}

func TestASalvageIsAskedOfTheNodeWithItsTime(t *testing.T) {
	w := newTown(t)
	from := time.Date(2026, 7, 13, 8, 0, 0, 0, time.UTC)
	got, err := w.client.Salvage(t.Context(), from, false)
	if want := (salvage.Report{Seen: 5, Back: 2, Delivered: 1, Again: 1}); err != nil || got != want {
		t.Errorf("salvage: %+v, %v; want %+v", got, err, want)
	}
	if !w.period[0].Equal(from) || len(w.progress) != 1 || w.progress[0] != (Progress{Step: "landed", Done: 3}) {
		t.Errorf("asked from %v with progress %v; want %v and 3 that wait", w.period[0], w.progress, from)
	}
	if got, err := w.client.Salvage(t.Context(), time.Time{}, true); err != nil || got.Seen != 9 || !w.period[0].IsZero() {
		t.Errorf("all: %+v from %v, %v", got, w.period[0], err)
	}
}
