package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// expireBatch is how many messages one operation removes: some milliseconds, after
// which Accepts have their turn.
const expireBatch = 100

// expireRest is how many times as long as a removal took nothing is removed after it: so
// retention gets a tenth of the writer, and some hundred messages are gone in a second, a
// city's day in minutes. A single rest is at most expireRestMax, however slow the server is at
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
	keep []int64 // numbers of mailboxes
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
	boxes := make([]int64, len(keep))
	for n, id := range keep {
		boxes[n] = int64(id)
	}
	slices.Sort(boxes)
	if cut.Before(s.expiry.cut) || !slices.Equal(boxes, s.expiry.keep) {
		s.expiry.at = mark{}
	}
	s.expiry.cut, s.expiry.keep = cut, boxes
	begun, removed := s.expiry.at, 0
	for removed < limit {
		nums, end, err := s.expirable(ctx, limit-removed)
		if err != nil {
			return removed, err
		}
		for batch := range slices.Chunk(nums, expireBatch) {
			start := time.Now()
			n, err := s.remove(ctx, batch, cut, boxes)
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

// mayGo says that nothing protects a message m: all its deliveries ended before $2, none
// of the mailboxes $3 shows it, and the groupware knows all that people did to it.
const mayGo = `NOT EXISTS (SELECT FROM delivery d WHERE d.seq >= m.num AND d.seq < m.num + m.deliveries
		AND (d.state IN (0, 1) OR d.changed >= $2 OR d.inbox AND d.mailbox = ANY ($3::bigint[]) AND d.seq > ` + looked + `))
	AND NOT EXISTS (SELECT FROM copy c WHERE c.message = m.num AND c.message + 0 IS NOT NULL AND (c.open OR c.mailbox = ANY ($3::bigint[]) AND c.folder > 0))`

// expirable looks at the next messages behind the mark, moves it, and returns those that
// may go, at most limit, and whether there are no more behind the mark.
func (s *Store) expirable(ctx context.Context, limit int) (nums []int64, end bool, err error) {
	at, looked := s.expiry.at, 0
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			if len(nums) == limit {
				return nil // these are looked at again
			}
			looked++
			at = mark{asInt(r[0]), asInt(r[1])}
			if asBool(r[2]) {
				nums = append(nums, at.num)
			}
			return nil
		}, `SELECT m.received, m.num, `+mayGo+` FROM (SELECT received, num, deliveries FROM message
				WHERE received < $1 AND received >= $4 AND (received, num) > ($4, $5) ORDER BY received, num LIMIT $6) m
			ORDER BY m.received, m.num`,
			s.expiry.cut.UnixMicro(), s.expiry.cut.UnixMicro(), s.expiry.keep, at.received, at.num, int64(expireRows))
	})
	if err != nil {
		return nil, false, err
	}
	s.expiry.at = at
	return nums, looked < expireRows && len(nums) < limit, nil
}

// remove removes those messages that still may go, in one operation.
func (s *Store) remove(ctx context.Context, nums []int64, cut time.Time, keep []int64) (removed int, err error) {
	err = s.write(ctx, func(t *tx) error {
		removed, err = t.remove(nums, cut, keep)
		if err != nil {
			return fmt.Errorf("expire messages: %w", err)
		}
		return nil
	})
	return removed, err
}

// remove removes messages with their deliveries and copies, except those that something
// protects by now.
func (t *tx) remove(nums []int64, cut time.Time, keep []int64) (int, error) {
	if err := t.lockBoxes(nums); err != nil {
		return 0, err
	}
	// No other node settles or opens them again until the commit.
	err := t.query(nil, `SELECT d.seq FROM unnest($1::bigint[]) u (num) JOIN message m ON m.num = u.num
		JOIN delivery d ON d.seq >= m.num AND d.seq < m.num + m.deliveries ORDER BY d.seq FOR UPDATE OF m, d`, nums)
	if err != nil {
		return 0, err
	}
	var gone, ends []int64
	err = t.query(func(r row) error {
		gone, ends = append(gone, asInt(r[0])), append(ends, asInt(r[0])+asInt(r[1]))
		t.entries = append(t.entries, doppelboden.Entry{Kind: doppelboden.EntryExpired, At: t.at,
			Tenant: doppelboden.TenantID(asInt(r[2])), Message: asID(r[3])})
		return nil
	}, `SELECT m.num, m.deliveries, m.tenant, m.id FROM unnest($1::bigint[]) WITH ORDINALITY u (num, place)
		JOIN message m ON m.num = u.num WHERE `+mayGo+" ORDER BY u.place", nums, cut.UnixMicro(), keep)
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	err = t.query(func(r row) error {
		t.count(doppelboden.TenantID(asInt(r[0])), doppelboden.State(asInt(r[1])), -1)
		return nil
	}, `DELETE FROM delivery d USING unnest($1::bigint[], $2::bigint[]) u (num, high)
		WHERE d.seq >= u.num AND d.seq < u.high RETURNING d.tenant, d.state`, gone, ends)
	if err != nil {
		return 0, err
	}
	if err := t.removeCopies(gone); err != nil {
		return 0, err
	}
	if err := t.forgetNotices(gone, ends); err != nil {
		return 0, err
	}
	if err := t.forgetHarvest(gone); err != nil {
		return 0, err
	}
	if err := t.forgetExtracts(gone); err != nil {
		return 0, err
	}
	_, err = t.exec("DELETE FROM message WHERE num = ANY ($1::bigint[])", gone)
	return len(gone), err
}

// lockBoxes makes the mailboxes ours that show messages: nobody looks into them, or changes
// something in them, until the commit.
func (t *tx) lockBoxes(nums []int64) error {
	return t.query(nil, `SELECT FROM (SELECT c.mailbox FROM unnest($1::bigint[]) u (num) JOIN copy c ON c.message = u.num AND c.message + 0 IS NOT NULL
			UNION SELECT d.mailbox FROM unnest($1::bigint[]) u (num) JOIN message m ON m.num = u.num
			JOIN delivery d ON d.seq >= m.num AND d.seq < m.num + m.deliveries WHERE d.inbox ORDER BY 1 OFFSET 0) b
		JOIN numbering n ON n.mailbox = b.mailbox FOR UPDATE OF n`, nums)
}

// removeCopies removes what folders show of messages. A mail to a list may lie in thousands
// of mailboxes.
func (t *tx) removeCopies(nums []int64) error {
	if _, err := t.exec(removeCopies, nums); err != nil {
		return fmt.Errorf("remove copies: %w", err)
	}
	return nil
}

const removeCopies = `WITH gone AS (DELETE FROM copy c USING unnest($1::bigint[]) u (num) WHERE c.message = u.num AND c.message + 0 IS NOT NULL
			RETURNING c.mailbox, c.folder, c.uid, c.flags),
		n AS (UPDATE numbering SET change = change + 1 FROM (SELECT DISTINCT mailbox FROM gone) g
			WHERE numbering.mailbox = g.mailbox RETURNING numbering.mailbox, numbering.change)
	UPDATE folder f SET total = f.total - a.total, unseen = f.unseen - a.unseen, change = a.change
		FROM (SELECT g.mailbox, g.folder, n.change, count(*) FILTER (WHERE g.flags & 2147483648 = 0) AS total,
				count(*) FILTER (WHERE g.flags & 2147483649 = 0) AS unseen
			FROM gone g JOIN n ON n.mailbox = g.mailbox WHERE g.uid IS NOT NULL GROUP BY g.mailbox, g.folder, n.change) a
		WHERE f.mailbox = a.mailbox AND f.number = a.folder`

// stayingQuery leaps through message_body from one tenant and key version to the next, of
// which there are few, so that each can be looked into for a segment.
const stayingQuery = `WITH RECURSIVE pair (tenant, version) AS (
		(SELECT tenant, key_version FROM message WHERE key_version + 0 IS NOT NULL ORDER BY tenant, key_version LIMIT 1)
		UNION ALL
		SELECT n.tenant, n.key_version FROM pair p CROSS JOIN LATERAL (SELECT tenant, key_version FROM message
			WHERE (tenant, key_version) > (p.tenant, p.version) AND key_version + 0 IS NOT NULL ORDER BY tenant, key_version LIMIT 1) n)
	SELECT ` + bodyColumns + ` FROM pair p JOIN message m ON m.tenant = p.tenant AND m.key_version = p.version AND m.key_version + 0 IS NOT NULL
	WHERE m.segment = $1 LIMIT $2`

// Staying returns up to limit bodies that still lie in a segment.
func (s *Store) Staying(ctx context.Context, segment string, limit int) (bodies []store.BodyOf, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			bodies = append(bodies, readBody(r))
			return nil
		}, stayingQuery, segment, int64(limit))
	})
	return bodies, err
}
