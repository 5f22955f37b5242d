package control

import (
	"context"
	"errors"
	"testing"

	"doppelboden"
	"doppelboden/backup"
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
