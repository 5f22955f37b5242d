package sqlite

import (
	"fmt"
	"testing"

	engine "modernc.org/sqlite"

	"doppelboden"
)

func TestReadersKeepOnlyTheConnectionsThatAreUsed(t *testing.T) {
	s := openNew(t)
	r := newReaders(s.opts.Path, s.opts.Synchronous)
	t.Cleanup(r.close)

	// Three read at the same time.
	var used []*conn
	err := r.with(ctx, func(a *conn) error {
		return r.with(ctx, func(b *conn) error {
			return r.with(ctx, func(c *conn) error {
				used = []*conn{a, b, c}
				return nil
			})
		})
	})
	if err != nil || len(r.free) != 3 {
		t.Fatalf("after three at once %d connections are open, error %v", len(r.free), err)
	}
	r.rest() // all were just used
	if len(r.free) != 3 {
		t.Fatalf("%d connections are left of three that were used", len(r.free))
	}
	for range 5 { // one after the other
		err := r.with(ctx, func(c *conn) error {
			if c != used[0] {
				t.Error("the connection that was given back last is not lent first")
			}
			_, err := c.exec(ctx, "SELECT 1")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r.rest()
	if len(r.free) != 1 || r.free[0] != used[0] {
		t.Errorf("%d connections are left where one was used", len(r.free))
	}
	r.rest()
	if len(r.free) != 1 {
		t.Errorf("%d connections are left where none was used; one must stay", len(r.free))
	}
	if err := r.with(ctx, func(*conn) error { return nil }); err != nil {
		t.Errorf("read after a rest: %v", err)
	}
}

func TestAConnectionIsNotUsedAgainWhenItsReaderFailedInTheMiddle(t *testing.T) {
	s := openNew(t)
	r := newReaders(s.opts.Path, s.opts.Synchronous)
	t.Cleanup(r.close)
	func() {
		defer func() { _ = recover() }()
		_ = r.with(ctx, func(*conn) error { panic("in the middle of a transaction") })
	}()
	if len(r.free) != 0 || len(r.places) != 0 {
		t.Errorf("%d connections are lent again, %d places are lost", len(r.free), len(r.places))
	}
}

func TestTheWriterGivesItsPagesBackWhenThereIsLittleToDo(t *testing.T) {
	s := openNew(t)
	tenants, err := s.PutTenants(ctx, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	boxes := make([]doppelboden.Mailbox, 5000)
	for i := range boxes {
		boxes[i] = doppelboden.Mailbox{Tenant: tenants[0].ID, Address: doppelboden.Address{Local: fmt.Sprintf("user%d", i), Domain: "b.example"}}
	}
	if _, err := s.PutMailboxes(ctx, boxes); err != nil {
		t.Fatal(err)
	}
	held := func(c *conn) int {
		now, _, err := c.driver.(engine.DBStatus).Status(engine.DBStatusCacheUsed, false)
		if err != nil {
			t.Error(err)
		}
		return now
	}
	err = s.write(ctx, func(tx *tx) error {
		if _, err := tx.c.one(ctx, "PRAGMA integrity_check"); err != nil { // reads every page
			return err
		}
		full := held(tx.c)
		tx.written = calmWrites + 1
		tx.rest()
		if now := held(tx.c); now != full {
			t.Errorf("while there was much to do %d of %d bytes of pages are left", now, full)
		}
		tx.rest() // nothing was written since
		if now := held(tx.c); full < 1<<19 || now > full/10 {
			t.Errorf("%d of %d bytes of pages are left", now, full)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
