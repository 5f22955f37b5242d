package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A tx is one transaction of the writer and what it will have changed. What Accept, Drain
// and Settle write is gathered and sent together; exec, query and one send it first.
type tx struct {
	*writer
	at      time.Time
	entries []doppelboden.Entry
	changes map[countKey]int64
	found   bool  // the link of this batch is in the database already
	token   int64 // names the transaction in table numbering

	locked bool  // the sequence is ours until the commit
	first  int64 // the Seq of the next delivery when the transaction began
	next   int64 // the same with what it has added

	known  map[doppelboden.ID]int64     // num of a message; 0: it is not there
	states map[doppelboden.Ref]*current // of deliveries; nil: there is none
	epochs map[string]int64             // of nodes, whose rows are ours until the commit; 0: there is none

	rows    rows
	changed []*current      // deliveries that are to be written, in the order of their first change
	held    map[int64]*held // why deliveries are held, by Seq; nil: no longer
}

// A countKey names one count.
type countKey struct {
	tenant doppelboden.TenantID
	state  doppelboden.State
}

// newTx makes a transaction that has not begun.
func newTx(w *writer, found bool) *tx {
	t := &tx{writer: w, at: w.s.opts.Clock(), found: found, token: rand.Int64N(math.MaxInt64) + 1, changes: map[countKey]int64{}}
	t.forget()
	return t
}

// forget drops what was read, because a statement may have changed it.
func (t *tx) forget() {
	t.known, t.states = map[doppelboden.ID]int64{}, map[doppelboden.Ref]*current{}
	t.epochs = map[string]int64{}
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(text string, args ...any) (int64, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	t.forget()
	return t.c.exec(background, text, args...)
}

// query runs a statement and calls each for every row; see conn.query.
func (t *tx) query(each func(r row) error, text string, args ...any) error {
	if err := t.flush(); err != nil {
		return err
	}
	t.forget()
	return t.c.query(background, each, text, args...)
}

// one runs a statement that gives at most one row, and returns it, or errNoRow.
func (t *tx) one(text string, args ...any) (row, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	t.forget()
	return t.c.one(background, text, args...)
}

const (
	lockSequence = "SELECT next FROM sequence WHERE name = 'delivery' FOR UPDATE"
	findMessages = "SELECT id, num FROM message WHERE id = ANY ($1)"
	// findEpochs keeps the rows until the commit, so that nobody takes over meanwhile.
	findEpochs = "SELECT name, epoch FROM node WHERE name = ANY ($1) ORDER BY name FOR SHARE"
	findStates = `SELECT m.id, u.n, d.seq, d.tenant, d.state, d.attempts, d.next, d.reply, d.changed, d.handed, d.box, d.recipient
		FROM unnest($1::bytea[], $2::bigint[]) u (id, n) JOIN message m ON m.id = u.id
		JOIN delivery d ON d.seq = m.num + u.n WHERE u.n >= 0 AND u.n < m.deliveries`
)

// begin begins the transaction and reads what the operations will ask for, in one round
// trip. The sequence is locked before it is asked which messages are there: who adds some
// holds the same lock until they can be seen.
func (t *tx) begin(batch []*op) error {
	list := []statement{{text: "BEGIN"}, {text: lockWriter, args: []any{t.s.lock}}}
	var ids [][]byte
	var nodes []string
	var refs []doppelboden.Ref
	for _, o := range batch {
		for _, m := range o.messages {
			ids = append(ids, m.ID[:])
			t.known[m.ID] = 0
		}
		if o.lease != nil {
			nodes = append(nodes, o.lease.Node)
			t.epochs[o.lease.Node] = 0
		}
		for i := range o.settles {
			refs = append(refs, o.settles[i].Ref)
		}
	}
	if len(nodes) > 0 {
		list = append(list, t.readEpochs(nodes))
	}
	if len(ids) > 0 {
		list = append(list, statement{text: lockSequence, each: t.readSequence},
			statement{text: findMessages, args: []any{ids}, each: t.readKnown})
	}
	if len(refs) > 0 {
		list = append(list, t.readStates(refs))
	}
	return t.c.all(list)
}

func (t *tx) readSequence(r row) error {
	t.first, t.locked = asInt(r[0]), true
	t.next = t.first
	return nil
}

func (t *tx) readKnown(r row) error {
	t.known[asID(r[0])] = asInt(r[1])
	return nil
}

// readEpochs is the statement that reads the epochs of nodes.
func (t *tx) readEpochs(nodes []string) statement {
	slices.Sort(nodes)
	return statement{text: findEpochs, args: []any{slices.Compact(nodes)}, each: func(r row) error {
		t.epochs[asText(r[0])] = asInt(r[1])
		return nil
	}}
}

// readStates is the statement that reads the states of deliveries.
func (t *tx) readStates(refs []doppelboden.Ref) statement {
	ids, ns := newColumn(oidByteaArray), newColumn(oidBigintArray)
	for i, ref := range refs {
		if _, asked := t.states[ref]; asked {
			continue
		}
		t.states[ref] = nil
		ids.add(refs[i].Message[:])
		ns.add(int64(ref.N))
	}
	return statement{text: findStates, args: []any{ids, ns}, each: func(r row) error {
		d := readCurrent(r)
		t.states[d.ref] = d
		return nil
	}}
}

// sequence makes the sequence ours until the commit.
func (t *tx) sequence() error {
	if t.locked {
		return nil
	}
	r, err := t.c.one(background, lockSequence)
	if errors.Is(err, errNoRow) {
		return &storageError{errors.New("the sequence of deliveries is missing")}
	}
	if err != nil {
		return fmt.Errorf("lock sequence: %w", err)
	}
	return t.readSequence(r)
}

// numOf returns the num of a message, or 0 when it is not there.
func (t *tx) numOf(id doppelboden.ID) (int64, error) {
	if num, asked := t.known[id]; asked {
		return num, nil
	}
	if err := t.flush(); err != nil {
		return 0, err
	}
	r, err := t.c.one(background, "SELECT num FROM message WHERE id = $1", id[:])
	switch {
	case errors.Is(err, errNoRow):
		t.known[id] = 0
	case err != nil:
		return 0, fmt.Errorf("find message %s: %w", id, err)
	default:
		t.known[id] = asInt(r[0])
	}
	return t.known[id], nil
}

// holds refuses a lease that is not the node's newest. Until the commit nobody can take
// the node over.
func (t *tx) holds(lease store.Lease) error {
	epoch, asked := t.epochs[lease.Node]
	if !asked {
		t.epochs[lease.Node] = 0
		if err := t.c.all([]statement{t.readEpochs([]string{lease.Node})}); err != nil {
			return fmt.Errorf("read lease: %w", err)
		}
		epoch = t.epochs[lease.Node]
	}
	if epoch == 0 || epoch != lease.Epoch {
		return refuse(doppelboden.Fenced, "another node or a later run of this node has taken over")
	}
	return nil
}

// count notes that by deliveries entered a state, or left it when by is negative.
func (t *tx) count(tenant doppelboden.TenantID, state doppelboden.State, by int64) {
	t.changes[countKey{tenant, state}] += by
}

// fill runs the operations and writes what belongs to all of them.
func (t *tx) fill(batch []*op) ([]error, *doppelboden.Link, error) {
	answers := make([]error, len(batch))
	for i, o := range batch {
		if o.notOnItsOwn && t.found {
			continue
		}
		err := t.s.opts.faults.hit(faultRun, o)
		if err == nil {
			err = o.run(t)
		}
		var refused *refusal
		if errors.As(err, &refused) {
			answers[i] = refused.err
		} else if err != nil {
			return nil, nil, err
		}
	}
	var link *doppelboden.Link
	if len(t.entries) > 0 {
		l := t.s.opts.Chain.Next(t.at, t.entries)
		link = &l
		t.putLink(link)
	}
	list := t.gathered()
	if link == nil {
		// A commit that writes nothing is answered at once, whatever became of the one
		// that wrote what was found. This one waits for all that is in the log before it.
		list = append(list, statement{text: "UPDATE probe SET at = $1 WHERE shard = $2", args: []any{t.at.UnixMicro(), t.shard}})
	}
	list = append(list, t.totals()...)
	return answers, link, t.send(list)
}

// totals are the statements that write the changed counts and the sequence.
func (t *tx) totals() (list []statement) {
	// All nodes in one order, so that no two wait for each other.
	keys := slices.SortedFunc(maps.Keys(t.changes), func(a, b countKey) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.state, b.state))
	})
	tenants, states, by := newColumn(oidBigintArray), newColumn(oidBigintArray), newColumn(oidBigintArray)
	for _, k := range keys {
		if t.changes[k] != 0 {
			tenants.add(int64(k.tenant))
			states.add(int64(k.state))
			by.add(t.changes[k])
		}
	}
	if by.rows > 0 {
		list = append(list, statement{text: `INSERT INTO count (tenant, state, shard, deliveries)
			SELECT u.tenant, u.state, $4, u.deliveries FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) u (tenant, state, deliveries)
			ON CONFLICT (tenant, state, shard) DO UPDATE SET deliveries = count.deliveries + excluded.deliveries`,
			args: []any{tenants, states, by, t.shard}})
	}
	if t.next != t.first {
		list = append(list, statement{text: "UPDATE sequence SET next = $1 WHERE name = 'delivery'", args: []any{t.next}})
	}
	return list
}

// flush sends what was gathered.
func (t *tx) flush() error {
	list := t.gathered()
	if len(list) == 0 {
		return nil
	}
	return t.send(list)
}

// send runs statements, and finds out whether another node was in the way of one.
func (t *tx) send(list []statement) error {
	met := false
	for i := range list {
		if want := list[i].rows; want > 0 {
			list[i].done = func(rows int64) { met = met || rows != want }
		}
	}
	if err := t.c.all(list); err != nil {
		return err
	}
	if met {
		return errAgain
	}
	return nil
}
