package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// expireBatch is how many messages one operation removes: some milliseconds, after
// which Accepts have their turn.
const expireBatch = 25

// expireRest is how many times as long as a removal took nothing is removed after it: so
// retention gets a tenth of the writer, and some hundred messages are gone in a second, a
// city's day in minutes. A single rest is at most expireRestMax, however slow the disk is at
// the moment.
const (
	expireRest    = 9
	expireRestMax = time.Second
)

// expireRows is how many messages one short read looks at.
const expireRows = 1024

// expiry remembers where the last Expire stopped, so that a store full of mail that
// stays is not looked through from its beginning by every call of a run.
type expiry struct {
	mu   sync.Mutex // held during Expire
	cut  time.Time
	keep []doppelboden.MailboxID
	at   mark
}

// A mark is a place in the order of messages by time. Its zero value is the beginning.
type mark struct {
	received int64 // microseconds
	num      int64
}

// Expire removes messages that have outlived their time, oldest first.
func (s *Store) Expire(ctx context.Context, cut time.Time, keep []doppelboden.MailboxID, limit int) (int, error) {
	s.expiry.mu.Lock()
	defer s.expiry.mu.Unlock()
	keep = slices.Sorted(slices.Values(keep))
	if cut.Before(s.expiry.cut) || !slices.Equal(keep, s.expiry.keep) {
		s.expiry.at = mark{}
	}
	s.expiry.cut, s.expiry.keep = cut, keep
	begun, removed := s.expiry.at, 0
	for removed < limit {
		nums, end, err := s.expirable(ctx, limit-removed)
		if err != nil {
			return removed, err
		}
		for batch := range slices.Chunk(nums, expireBatch) {
			start := time.Now()
			n, err := s.remove(ctx, batch, cut, keep)
			removed += n
			if err == nil {
				err = s.rest(ctx, min(expireRest*time.Since(start), expireRestMax))
			}
			if err != nil {
				return removed, err
			}
		}
		if !end {
			continue
		}
		// 0 says that all was looked through: only a walk from the beginning may say so.
		s.expiry.at = mark{}
		if removed > 0 || begun == (mark{}) {
			return removed, nil
		}
		begun = mark{}
	}
	return removed, nil
}

// rest lets others have the writer for a while.
func (s *Store) rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return outward(ctx.Err())
	case <-s.closing:
		return closedError()
	}
}

// expirable looks at the next messages behind the mark, moves it, and returns those that
// may go, at most limit, and whether there are no more behind the mark.
func (s *Store) expirable(ctx context.Context, limit int) (nums []int64, end bool, err error) {
	at := s.expiry.at
	var old []mark
	err = s.snapshot(ctx, func(c *conn) error {
		err := c.query(ctx, func(row []driver.Value) error {
			old = append(old, mark{asInt(row[0]), asInt(row[1])})
			return nil
		}, `SELECT received, num FROM message INDEXED BY message_received
			WHERE received < ?1 AND (received, num) > (?2, ?3) ORDER BY received, num LIMIT ?4`,
			s.expiry.cut.UnixMicro(), at.received, at.num, int64(expireRows))
		for i := 0; i < len(old) && len(nums) < limit && err == nil; i++ {
			var stays bool
			if stays, err = protected(ctx, c, old[i].num, s.expiry.cut, s.expiry.keep); !stays {
				nums = append(nums, old[i].num)
			}
			at = old[i]
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	s.expiry.at = at
	return nums, len(old) < expireRows && (len(old) == 0 || at == old[len(old)-1]), nil
}

// protected reports whether a message must stay: a delivery of it has not ended, or
// ended at cut or later, somebody did something to it that the groupware does not know, or
// one of the mailboxes shows it.
func protected(ctx context.Context, c *conn, num int64, cut time.Time, keep []doppelboden.MailboxID) (bool, error) {
	row, err := c.one(ctx, `SELECT EXISTS (SELECT 1 FROM message m CROSS JOIN delivery d
		ON d.seq >= m.num AND d.seq < m.num + m.deliveries
		WHERE m.num = ?1 AND (d.state IN (0, 1) OR d.changed >= ?2))
		OR EXISTS (SELECT 1 FROM copy INDEXED BY copy_message WHERE message = ?1 AND open = 1)`, num, cut.UnixMicro())
	if err != nil || asInt(row[0]) != 0 {
		return true, err
	}
	return shownIn(ctx, c, num, keep)
}

// shownIn reports whether one of the mailboxes shows a message.
func shownIn(ctx context.Context, c *conn, num int64, keep []doppelboden.MailboxID) (shown bool, err error) {
	if len(keep) == 0 {
		return false, nil
	}
	err = c.query(ctx, func(row []driver.Value) error {
		_, found := slices.BinarySearch(keep, doppelboden.MailboxID(asInt(row[0])))
		shown = shown || found
		return nil
	}, `SELECT mailbox FROM copy INDEXED BY copy_message WHERE message = ?1 AND folder > 0
		UNION ALL SELECT d.mailbox FROM message m CROSS JOIN delivery d ON d.seq >= m.num AND d.seq < m.num + m.deliveries
			WHERE m.num = ?1 AND d.inbox = 1 AND d.seq > `+looked, num)
	return shown, err
}

// remove removes those messages that still may go, in one operation.
func (s *Store) remove(ctx context.Context, nums []int64, cut time.Time, keep []doppelboden.MailboxID) (removed int, err error) {
	err = s.write(ctx, func(t *tx) error {
		removed = 0
		for _, num := range nums {
			gone, err := t.remove(num, cut, keep)
			if err != nil {
				return fmt.Errorf("expire message: %w", err)
			}
			if gone {
				removed++
			}
		}
		return nil
	})
	return removed, err
}

// remove removes a message with its deliveries and copies, unless something protects it
// by now.
func (t *tx) remove(num int64, cut time.Time, keep []doppelboden.MailboxID) (bool, error) {
	row, err := t.c.one(background, "SELECT id, tenant, deliveries, segment FROM message WHERE num = ?", num)
	if errors.Is(err, errNoRow) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	id, tenant, end, segment := asID(row[0]), doppelboden.TenantID(asInt(row[1])), num+asInt(row[2]), asInt(row[3])
	if stays, err := protected(background, t.c, num, cut, keep); err != nil || stays {
		return false, err
	}
	err = t.c.query(background, func(row []driver.Value) error {
		t.count(tenant, doppelboden.State(asInt(row[0])), -1, 0)
		return nil
	}, "DELETE FROM delivery WHERE seq >= ? AND seq < ? RETURNING state", num, end)
	if err != nil {
		return false, err
	}
	if err := t.removeCopies(num); err != nil {
		return false, err
	}
	if err := t.forgetNotices(num, end); err != nil {
		return false, err
	}
	if err := t.forgetHarvest(num); err != nil {
		return false, err
	}
	if err := t.forgetExtract(num); err != nil {
		return false, err
	}
	if _, err := t.c.exec(background, "DELETE FROM message WHERE num = ?", num); err != nil {
		return false, err
	}
	t.entries = append(t.entries, doppelboden.Entry{Kind: doppelboden.EntryExpired, At: t.at, Tenant: tenant, Message: id})
	return true, t.forgetSegment(segment)
}

// Statements that remove what folders show of the message ?1, in this order: a mail to a list
// may lie in thousands of mailboxes.
var removeCopies = [...]string{
	"UPDATE numbering SET change = change + 1 WHERE mailbox IN (SELECT mailbox FROM copy INDEXED BY copy_message WHERE message = ?1)",
	`UPDATE folder SET total = folder.total - a.total, unseen = folder.unseen - a.unseen, change = (SELECT n.change FROM numbering n WHERE n.mailbox = a.mailbox)
		FROM (SELECT mailbox, folder, sum(flags & 0x80000000 = 0) AS total, sum(flags & 0x80000001 = 0) AS unseen FROM copy INDEXED BY copy_message
			WHERE message = ?1 AND uid IS NOT NULL GROUP BY mailbox, folder) a
		WHERE folder.mailbox = a.mailbox AND folder.number = a.folder`,
	"DELETE FROM copy WHERE (mailbox, n) IN (SELECT mailbox, n FROM copy INDEXED BY copy_message WHERE message = ?1)",
}

// removeCopies removes what folders show of a message.
func (t *tx) removeCopies(num int64) error {
	for _, text := range removeCopies {
		if _, err := t.c.exec(background, text, num); err != nil {
			return fmt.Errorf("remove copies: %w", err)
		}
	}
	return nil
}

// forgetSegment removes the name of a segment in which no body lies any more. Every big
// body has a segment of its own, so the names would grow for ever.
func (t *tx) forgetSegment(num int64) error {
	gone, err := t.c.exec(background, `DELETE FROM segment WHERE num = ?1 AND NOT EXISTS (`+pairs+`
		SELECT 1 FROM pair p CROSS JOIN message m INDEXED BY message_body
			ON m.tenant = p.tenant AND m.key_version = p.version AND m.segment = ?1)`, num)
	if gone > 0 {
		clear(t.names)
	}
	return err
}

// Staying returns up to limit bodies that still lie in a segment.
func (s *Store) Staying(ctx context.Context, segment string, limit int) (bodies []store.BodyOf, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			bodies = append(bodies, readBody(row))
			return nil
		}, stayingQuery, segment, int64(limit))
	})
	return bodies, err
}

// pairs leaps through message_body from one tenant and key version to the next, of which
// there are few, so that each can be looked into for a segment.
const pairs = `WITH RECURSIVE pair (tenant, version) AS (
		SELECT tenant, key_version FROM (SELECT tenant, key_version FROM message INDEXED BY message_body
			WHERE (tenant, key_version) > (0, -1) ORDER BY tenant, key_version LIMIT 1)
		UNION ALL
		SELECT m.tenant, m.key_version FROM pair p CROSS JOIN message m
			ON m.num = (SELECT num FROM message INDEXED BY message_body
				WHERE (tenant, key_version) > (p.tenant, p.version) ORDER BY tenant, key_version LIMIT 1))`

const stayingQuery = pairs + `
	SELECT ` + bodyColumns + ` FROM segment g CROSS JOIN pair p CROSS JOIN message m INDEXED BY message_body
		ON m.tenant = p.tenant AND m.key_version = p.version AND m.segment = g.num
	WHERE g.name = ?1 LIMIT ?2`
