package backup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/app"
	"doppelboden/backup"
	"doppelboden/control"

	_ "modernc.org/sqlite"
)

// engines runs a test on both engines. burn destroys the database of the first place.
func engines(t *testing.T, test func(t *testing.T, p *place, burn func())) {
	t.Run("sqlite", func(t *testing.T) { test(t, found(t, ""), func() {}) })
	t.Run("postgres", func(t *testing.T) {
		more, name := onPostgres(t)
		test(t, found(t, more), func() { burn(t, name) })
	})
}

// TestANodeIsBackedUpTwiceRestoredElsewhereAndGoesOn turns red when the tallies, the
// landing or the segments are left out, or are taken at another moment than the database.
func TestANodeIsBackedUpTwiceRestoredElsewhereAndGoesOn(t *testing.T) {
	engines(t, func(t *testing.T, p *place, burn func()) {
		dir := filepath.Join(t.TempDir(), "backup")
		p.mail(5, 1000)
		p.mail(1, 300<<10) // a body with a file of its own
		_, err := p.client().Backup(t.Context(), control.BackupOrder{Dir: dir, Passphrase: passphrase})
		must(t, err)
		if c := p.verify(dir); !c.OK() || c.Bodies != 6 || c.Balance.Accepted != 6 || !c.Signed {
			t.Errorf("the first backup: %d faults %v, %d bodies, %d accepted, signed %v; want it good with 6", c.Faults, c.Findings, c.Bodies, c.Balance.Accepted, c.Signed)
		}
		p.mail(4, 1000)
		p.backUp(dir)
		if c := p.verify(dir); !c.OK() || c.Bodies != 10 {
			t.Errorf("the second backup: %d faults %v, %d bodies; want it good with 10", c.Faults, c.Findings, c.Bodies)
		}
		kept := p.sent
		p.mail(2, 1000) // these are lost with the machine
		p.stop()
		burn()
		again := p.restore(dir)
		if _, err := os.Stat(filepath.Join(again.dir, "data", backup.RestoredFile)); err != nil {
			t.Errorf("nothing tells the node that its database was restored: %v", err)
		}
		again.start()
		again.whole(kept)
		// What it becomes can be backed up itself.
		further := filepath.Join(t.TempDir(), "further")
		again.backUp(further)
		if c := again.verify(further); !c.OK() || c.Bodies != int64(kept)+1 {
			t.Errorf("a backup of the restored node: %d faults %v, %d bodies, want %d", c.Faults, c.Findings, c.Bodies, kept+1)
		}
	})
}

func TestAStoppedNodeIsBackedUpAsWell(t *testing.T) {
	engines(t, func(t *testing.T, p *place, burn func()) {
		p.mail(3, 1000)
		source := source(t, p)
		dir := filepath.Join(t.TempDir(), "backup")
		o := backup.Options{Dir: dir, PlainKeys: true}
		if _, err := backup.Make(t.Context(), source, o); doppelboden.CodeOf(err) != doppelboden.Invalid || !strings.Contains(err.Error(), "the node runs") {
			t.Errorf("beside a running node: %v, want that it runs", err)
		}
		if _, err := backup.ReadManifest(dir); doppelboden.CodeOf(err) != doppelboden.NotFound {
			t.Errorf("what failed left a manifest: %v", err)
		}
		p.stop()
		made, err := backup.Make(t.Context(), source, o)
		must(t, err)
		if made.Manifest.Messages != 3 || !made.SameDisk || made.Manifest.Keys != backup.KeysPlain {
			t.Errorf("made %+v, want 3 mails, keys in clear, on the same disk", made)
		}
		if again, err := backup.Make(t.Context(), source, o); err != nil || again.Linked != 0 {
			t.Errorf("again: %+v, %v; want that nothing is linked anew", again, err)
		}
		burn()
		again := p.restore(dir)
		again.start()
		again.whole(3)
	})
}

// source returns what a stopped node is backed up from.
func source(t *testing.T, p *place) backup.Source {
	t.Helper()
	return backup.Source{Node: p.node, Database: backup.Stopped(p.node, app.DSN), Signer: signer(t, p), Program: "test", Clock: time.Now}
}

// TestWhatIsMissingOrChangedInABackupIsFound turns red when verify believes the manifest
// without looking.
func TestWhatIsMissingOrChangedInABackupIsFound(t *testing.T) {
	p := found(t, "")
	p.mail(3, 1000)
	for _, c := range []struct {
		what  string
		spoil func(dir string)
		want  string
	}{
		{"a segment is gone", func(dir string) { must(t, os.Remove(find(t, dir, "segments/"))) }, "it is missing"},
		{"a bit of a body has flipped", func(dir string) { flip(t, find(t, dir, "segments/"), 200) }, "the sum is wrong"},
		{"a bit of the database has flipped", func(dir string) { flip(t, find(t, dir, "database.sqlite"), 9000) }, "the sum is wrong"},
		{"the backup never had a segment", func(dir string) {
			must(t, os.Remove(find(t, dir, "segments/")))
			p.change(dir, func(m *backup.Manifest) { drop(m, "segments/") })
		}, "cannot be read"},
		{"the backup never had the landing and the database lacks it", func(dir string) {
			execute(t, find(t, dir, "database.sqlite"), "DELETE FROM link", "DELETE FROM delivery", "DELETE FROM message", "DELETE FROM count")
			p.change(dir, func(m *backup.Manifest) { drop(m, "landing/") })
		}, "difference"},
		{"a row is gone", func(dir string) {
			execute(t, find(t, dir, "database.sqlite"), "DELETE FROM delivery WHERE seq = 2")
			p.change(dir, func(m *backup.Manifest) { m.Rows = nil })
		}, "difference"},
		{"a row of a table that nothing else tells of is gone", func(dir string) {
			execute(t, find(t, dir, "database.sqlite"), "DELETE FROM address")
			p.change(dir, func(*backup.Manifest) {})
		}, "the table address has 0 rows, and had 1"},
		{"a table is gone", func(dir string) {
			execute(t, find(t, dir, "database.sqlite"), "DROP TABLE delivery")
			p.change(dir, func(*backup.Manifest) {})
		}, "no such table"},
		{"the ledger was rewritten", func(dir string) {
			execute(t, find(t, dir, "database.sqlite"), "UPDATE link SET at = at + 1 WHERE number = 2")
			p.change(dir, func(*backup.Manifest) {})
		}, "the ledger has"},
		{"somebody else made it", func(dir string) {
			must(t, replace(filepath.Join(dir, backup.ManifestFile), `"program": "test"`, `"program": "mine"`))
		}, "not signed"},
	} {
		dir := filepath.Join(t.TempDir(), "backup")
		p.backUp(dir)
		c.spoil(dir)
		got, err := backup.Verify(t.Context(), backup.VerifyOptions{Dir: dir, Passphrase: passphrase, Clock: time.Now})
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.what, err, c.want)
			}
			continue
		}
		if got.OK() || !strings.Contains(fmt.Sprint(got.Findings), c.want) {
			t.Errorf("%s: found %q, want %q", c.what, got.Findings, c.want)
		}
	}
}

func TestNothingIsRestoredOverAnythingNorFromWhatIsNotWhole(t *testing.T) {
	p := found(t, "")
	p.mail(2, 1000)
	good, bare := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "bare")
	_, err := p.client().Backup(t.Context(), control.BackupOrder{Dir: good, Passphrase: passphrase})
	must(t, err)
	_, err = p.client().Backup(t.Context(), control.BackupOrder{Dir: bare})
	must(t, err)
	cut := filepath.Join(t.TempDir(), "cut")
	p.backUp(cut)
	must(t, os.Truncate(find(t, cut, "segments/"), 100))
	changed := filepath.Join(t.TempDir(), "changed")
	p.backUp(changed)
	flip(t, find(t, changed, "tally/"), 40)
	newer := filepath.Join(t.TempDir(), "newer")
	p.backUp(newer)
	must(t, replace(filepath.Join(newer, backup.ManifestFile), `"format": 1`, `"format": 2`))
	full := filepath.Join(t.TempDir(), "full")
	must(t, os.MkdirAll(filepath.Join(full, "data"), 0o700))
	must(t, os.WriteFile(filepath.Join(full, "data", "x"), []byte("mine"), 0o600))
	foreign := filepath.Join(t.TempDir(), "foreign")
	must(t, os.MkdirAll(filepath.Join(foreign, "keys"), 0o700))
	other := found(t, "")
	key, err := os.ReadFile(filepath.Join(other.node.Keys, "master.key"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(foreign, "keys", "master.key"), key, 0o600))
	for _, c := range []struct{ what, from, to, pass, want string }{
		{"a folder that is no backup", t.TempDir(), "", passphrase, "no backup in this folder"},
		{"a target that is not empty", good, full, passphrase, "is not empty"},
		{"no passphrase", good, "", "", "the passphrase is needed"},
		{"a wrong passphrase", good, "", "something else entirely", "does not open the keys"},
		{"no keys at all", bare, "", "", "holds no keys"},
		{"somebody else's keys", bare, foreign, "", "does not open the keys"},
		{"a segment that is too short", cut, "", passphrase, "too short"},
		{"a changed file", changed, "", passphrase, "damaged"},
		{"another format", newer, "", passphrase, "format 2"},
	} {
		to := c.to
		if to == "" {
			to = filepath.Join(t.TempDir(), "to")
		}
		_, err := backup.Restore(t.Context(), backup.RestoreOptions{Backup: c.from, Dir: to, Passphrase: c.pass, Clock: time.Now})
		if err == nil || !strings.Contains(err.Error(), c.want) || !doppelboden.CodeOf(err).Permanent() {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(to, "node.toml")); err == nil {
			t.Errorf("%s: there is a node.toml", c.what)
		}
		if left, _ := os.ReadDir(filepath.Join(to, "data")); len(left) > 0 && c.to != full {
			t.Errorf("%s: left behind %v", c.what, left)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(full, "data", "x")); string(text) != "mine" {
		t.Errorf("what was in the way holds %q now", text)
	}
}

func TestABackupRefusesFoldersThatAreNotItsOwn(t *testing.T) {
	p := found(t, "")
	p.mail(1, 1000)
	dir := filepath.Join(t.TempDir(), "backup")
	p.backUp(dir)
	other := found(t, "")
	other.mail(1, 1000)
	strange := t.TempDir()
	must(t, os.WriteFile(filepath.Join(strange, "letter.txt"), []byte("mine"), 0o600))
	for _, c := range []struct {
		what string
		p    *place
		o    control.BackupOrder
		want string
	}{
		{"a folder with other things", p, control.BackupOrder{Dir: strange}, "letter.txt"},
		{"another node's", other, control.BackupOrder{Dir: dir}, "another node"},
		{"its own data", p, control.BackupOrder{Dir: filepath.Join(p.node.Data, "backup")}, "own folder"},
		{"a relative path", p, control.BackupOrder{Dir: "backup"}, "whole path"},
		{"a short passphrase", p, control.BackupOrder{Dir: dir, Passphrase: "kurz"}, "too short"},
		{"both ways for the keys", p, control.BackupOrder{Dir: dir, Passphrase: passphrase, PlainKeys: true}, "not both"},
	} {
		if _, err := c.p.client().Backup(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	// A node that was restored from before is not what the backup goes on with.
	old := filepath.Join(t.TempDir(), "old")
	p.backUp(old)
	p.mail(1, 1000)
	p.knot()
	p.backUp(dir)
	p.stop()
	again := p.restore(old)
	again.start()
	again.mail(5, 1000)
	again.knot()
	if _, err := again.client().Backup(t.Context(), control.BackupOrder{Dir: dir}); err == nil || !strings.Contains(err.Error(), "older state") {
		t.Errorf("after going back: %v, want that the backup is of another history", err)
	}
	if c := again.verify(dir); !c.OK() {
		t.Errorf("the backup suffered: %v", c.Findings)
	}
}

// knot waits until the ledger has one more knot: a restart ties what happened.
func (p *place) knot() {
	p.t.Helper()
	p.stop()
	p.start()
}

// TestADatabaseOfYesterdayIsMadeWholeFromTheLanding turns red without Drain of what the
// database lacks.
func TestADatabaseOfYesterdayIsMadeWholeFromTheLanding(t *testing.T) {
	engines(t, func(t *testing.T, p *place, burn func()) {
		p.mail(3, 1000)
		dir := filepath.Join(t.TempDir(), "backup")
		p.backUp(dir)
		p.mail(4, 1000)
		p.stop()
		burn()
		o := backup.RestoreOptions{Backup: dir, Dir: p.dir, DatabaseOnly: true, Clock: time.Now, DSN: app.DSN}
		if !p.node.Database.Postgres() {
			if _, err := backup.Restore(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is there already") {
				t.Errorf("over a database: %v, want that it is there", err)
			}
			for _, ending := range []string{"", "-wal", "-shm"} {
				os.Rename(filepath.Join(p.node.Data, "doppelboden.db"+ending), filepath.Join(t.TempDir(), "broken"))
			}
		}
		_, err := backup.Restore(t.Context(), o)
		must(t, err)
		mark := filepath.Join(p.node.Data, backup.RestoredFile)
		if _, err := os.Stat(mark); err != nil {
			t.Errorf("nothing tells the node that its database was restored: %v", err)
		}
		p.start()
		if _, err := os.Stat(mark); !os.IsNotExist(err) {
			t.Errorf("the node has not numbered its mailboxes anew: %v", err)
		}
		report, err := p.client().Salvage(t.Context(), time.Time{}, false)
		must(t, err)
		if report.Delivered != 0 {
			t.Errorf("salvage %+v, want nothing delivered", report)
		}
		p.accounts(7)
		// That the database was rolled back stays to be seen, for ever.
		r, err := p.client().VerifyLedger(t.Context())
		must(t, err)
		for _, f := range r.Findings {
			if f.About != "knot" || !strings.Contains(f.What, "rolled back") {
				t.Errorf("the ledger has a fault besides the knots that were exported before: %+v", f)
			}
		}
		if r.OK() {
			t.Errorf("the ledger does not tell that the database was rolled back")
		}
	})
}
