package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// PutMailboxes adds and changes mailboxes in one commit. What is there of them is read at
// once, the change is worked out in memory, and then written at once: with a round trip
// for each of them, 100,000 would take minutes.
func (s *Store) PutMailboxes(ctx context.Context, boxes []doppelboden.Mailbox) ([]doppelboden.Mailbox, error) {
	for i := range boxes {
		if boxes[i].Tenant <= 0 || boxes[i].Address.IsNull() {
			return nil, &doppelboden.Error{Code: doppelboden.Invalid, Public: "a mailbox needs a tenant and an address"}
		}
	}
	var put []doppelboden.Mailbox
	err := s.write(ctx, func(t *tx) error {
		put = slices.Clone(boxes)
		d, err := t.directory(put)
		if err != nil {
			return err
		}
		// First all rows, and no alias of theirs; then all aliases: so two mailboxes may
		// exchange one.
		for i := range put {
			if err := d.place(&put[i]); err != nil {
				return err
			}
		}
		for i := range put {
			if err := d.placeAliases(&put[i]); err != nil {
				return err
			}
		}
		return t.writeDirectory(d, put)
	})
	if err != nil {
		return nil, err
	}
	return put, nil
}

// lockDirectory keeps other nodes from changing addresses until the commit.
const lockDirectory = "LOCK TABLE address IN SHARE ROW EXCLUSIVE MODE"

// A directory is as much of the directory as one PutMailboxes can change. New mailboxes
// have negative numbers in it.
type directory struct {
	boxes     map[int64]*boxRow     // by number
	addresses map[string]addressRow // by key, as they are to be
	before    map[string]addressRow // as they were read
	added     int64                 // how many are new
}

// A boxRow is what a mailbox is known by.
type boxRow struct {
	tenant           doppelboden.TenantID
	source, external string
	kind             doppelboden.MailboxKind
	keys             []string // of its addresses
}

// An addressRow says whose an address is.
type addressRow struct {
	mailbox, position int64
	address           string
}

// directory reads what is there of mailboxes, and of those that have their addresses.
func (t *tx) directory(boxes []doppelboden.Mailbox) (*directory, error) {
	d := &directory{boxes: map[int64]*boxRow{}, addresses: map[string]addressRow{}, before: map[string]addressRow{}}
	if _, err := t.exec(lockDirectory); err != nil {
		return nil, fmt.Errorf("lock directory: %w", err)
	}
	ids, keys := []int64{}, []string{}
	for i := range boxes {
		b := &boxes[i]
		if b.ID != 0 {
			ids = append(ids, int64(b.ID))
		}
		keys = append(keys, b.Address.Key(), retiredKey(b.Tenant, b.Address.Key()))
		for _, a := range b.Aliases {
			keys = append(keys, a.Key())
		}
	}
	err := t.query(func(r row) error {
		id, key := asInt(r[0]), asText(r[4])
		if d.boxes[id] == nil {
			d.boxes[id] = &boxRow{tenant: doppelboden.TenantID(asInt(r[1])), source: asText(r[2]), external: asText(r[3]), kind: doppelboden.MailboxKind(asText(r[7]))}
		}
		d.boxes[id].keys = append(d.boxes[id].keys, key)
		a := addressRow{mailbox: id, position: asInt(r[5]), address: asText(r[6])}
		d.addresses[key], d.before[key] = a, a
		return nil
	}, `SELECT b.id, b.tenant, b.source, b.external, a.key, a.position, a.address, b.kind
		FROM (SELECT unnest($1::bigint[]) AS id
			UNION SELECT x.mailbox FROM unnest($2::text[]) k (key) CROSS JOIN address x WHERE x.key = k.key) n
		CROSS JOIN mailbox b CROSS JOIN address a WHERE b.id = n.id AND a.mailbox = b.id`, ids, keys)
	if err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	return d, nil
}

// place gives b its number and its own address, and takes its aliases away.
func (d *directory) place(b *doppelboden.Mailbox) error {
	b.Gone = time.Time{}
	if err := d.find(b); err != nil {
		return err
	}
	if b.ID == 0 {
		d.added++
		b.ID = doppelboden.MailboxID(-d.added)
		d.boxes[int64(b.ID)] = &boxRow{tenant: b.Tenant}
	}
	row := d.boxes[int64(b.ID)]
	for _, key := range row.keys {
		delete(d.addresses, key)
	}
	row.source, row.external, row.kind, row.keys = b.Source, b.External, b.Kind, nil
	d.give(b, b.Address, 0)
	return nil
}

// give gives b an address that nobody has.
func (d *directory) give(b *doppelboden.Mailbox, a doppelboden.Address, position int) {
	d.addresses[a.Key()] = addressRow{mailbox: int64(b.ID), position: int64(position), address: address(a)}
	row := d.boxes[int64(b.ID)]
	row.keys = append(row.keys, a.Key())
}

// find gives b the number of the mailbox that it is: by its own number, by its address, or
// by the address that it had before it was retired. 0 says that it is new.
func (d *directory) find(b *doppelboden.Mailbox) error {
	a, there := d.addresses[b.Address.Key()]
	found := doppelboden.MailboxID(a.mailbox)
	switch {
	case there && (d.boxes[a.mailbox].tenant != b.Tenant || b.ID != 0 && b.ID != found || b.ID == 0 && a.position != 0):
		return taken(b.Address)
	case there:
		b.ID = found
	case b.ID != 0:
		if row := d.boxes[int64(b.ID)]; row == nil || row.tenant != b.Tenant {
			return refuse(doppelboden.Invalid, fmt.Sprintf("the tenant has no mailbox with the number %d", b.ID))
		}
	default:
		d.findRetired(b)
	}
	return nil
}

// findRetired gives b the number of the retired mailbox that had its address, unless that
// one was another person's.
func (d *directory) findRetired(b *doppelboden.Mailbox) {
	a, there := d.addresses[retiredKey(b.Tenant, b.Address.Key())]
	if !there {
		return
	}
	row := d.boxes[a.mailbox]
	if row.source == b.Source && row.external != "" && b.External != "" && row.external != b.External {
		return
	}
	if row.kind == doppelboden.Person && b.Kind != doppelboden.Person && b.Source != "" {
		return // a directory may not let others read it
	}
	b.ID = doppelboden.MailboxID(a.mailbox)
}

// placeAliases gives b its aliases, unless another one has them.
func (d *directory) placeAliases(b *doppelboden.Mailbox) error {
	for i, alias := range b.Aliases {
		switch a, there := d.addresses[alias.Key()]; {
		case !there:
			d.give(b, alias, i+1)
		case a.mailbox != int64(b.ID):
			return taken(alias)
		}
	}
	return nil
}

// taken is the error about an address that belongs to another mailbox.
func taken(a doppelboden.Address) error {
	return refuse(doppelboden.Invalid, "the address "+strconv.QuoteToASCII(a.String())+" belongs to another mailbox already")
}

// writeDirectory writes what was worked out, and gives those that are new their numbers.
func (t *tx) writeDirectory(d *directory, put []doppelboden.Mailbox) error {
	fresh, err := t.numbers(d.added)
	if err != nil {
		return err
	}
	last := make(map[doppelboden.MailboxID]int, len(put)) // a list may have a mailbox twice
	for i := range put {
		if n := put[i].ID; n < 0 {
			put[i].ID = doppelboden.MailboxID(fresh[-n-1])
		}
		last[put[i].ID] = i
	}
	rows := make([]*doppelboden.Mailbox, 0, len(last))
	for i := range put {
		if last[put[i].ID] == i {
			rows = append(rows, &put[i])
		}
	}
	if err := t.writeMailboxes(rows, fresh); err != nil {
		return err
	}
	if err := t.writeMembers(rows); err != nil {
		return err
	}
	return t.writeAddresses(d, fresh)
}

// numbers returns numbers for new mailboxes, from the smallest.
func (t *tx) numbers(n int64) (fresh []int64, err error) {
	if n == 0 {
		return nil, nil
	}
	err = t.query(func(r row) error {
		fresh = append(fresh, asInt(r[0]))
		return nil
	}, "SELECT nextval(pg_get_serial_sequence('mailbox', 'id')) FROM generate_series(1, $1::bigint)", n)
	if err != nil {
		return nil, fmt.Errorf("number mailboxes: %w", err)
	}
	return fresh, nil
}

// writeMailboxes writes mailboxes, of which fresh are new and get their INBOX.
func (t *tx) writeMailboxes(list []*doppelboden.Mailbox, fresh []int64) error {
	id, tenant, priority := newColumn(oidBigintArray), newColumn(oidBigintArray), newColumn(oidBigintArray)
	name, kind, department, building := newColumn(oidTextArray), newColumn(oidTextArray), newColumn(oidTextArray), newColumn(oidTextArray)
	source, external, closed, phone := newColumn(oidTextArray), newColumn(oidTextArray), newColumn(oidBoolArray), newColumn(oidTextArray)
	for _, b := range list {
		id.add(int64(b.ID))
		tenant.add(int64(b.Tenant))
		name.add(b.Name)
		kind.add(string(b.Kind))
		department.add(b.Department)
		building.add(b.Building)
		priority.add(int64(b.Priority))
		source.add(b.Source)
		external.add(b.External)
		closed.add(b.Closed)
		phone.add(string(b.Phone))
	}
	_, err := t.exec(`INSERT INTO mailbox (id, tenant, name, kind, department, building, priority, source, external, closed, phone)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[], $10::boolean[], $11::text[])
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind, department = excluded.department,
			building = excluded.building, priority = excluded.priority, source = excluded.source, external = excluded.external, closed = excluded.closed, phone = excluded.phone, gone = NULL`,
		id, tenant, name, kind, department, building, priority, source, external, closed, phone)
	if err != nil {
		return fmt.Errorf("write mailboxes: %w", err)
	}
	if len(fresh) == 0 {
		return nil
	}
	_, err = t.exec(`INSERT INTO folder (tenant, mailbox, number, name, use, uid_next, uid_validity)
		SELECT b.tenant, b.id, $2, $3, $4, 1, $5 FROM unnest($1::bigint[]) n (id) CROSS JOIN mailbox b WHERE b.id = n.id`,
		fresh, int64(inboxNumber), doppelboden.Inbox, string(store.UseInbox), t.at.Unix())
	if err == nil {
		// One that has mail before it has a mailbox may have a row.
		_, err = t.exec(`INSERT INTO numbering (mailbox, tenant, change, validity, folders, token)
			SELECT b.id, b.tenant, 0, $2, $3, 0 FROM unnest($1::bigint[]) n (id) CROSS JOIN mailbox b WHERE b.id = n.id
			ON CONFLICT (mailbox) DO UPDATE SET validity = greatest(numbering.validity, excluded.validity)`, fresh, t.at.Unix(), int64(inboxNumber))
	}
	if err != nil {
		return fmt.Errorf("make inboxes: %w", err)
	}
	return nil
}

// writeMembers writes the members of lists, and none for what is no list.
func (t *tx) writeMembers(list []*doppelboden.Mailbox) error {
	ids := make([]int64, len(list))
	tenant, mailbox, position, member := newColumn(oidBigintArray), newColumn(oidBigintArray), newColumn(oidBigintArray), newColumn(oidTextArray)
	for i, b := range list {
		ids[i] = int64(b.ID)
		for n, m := range b.Members {
			tenant.add(int64(b.Tenant))
			mailbox.add(int64(b.ID))
			position.add(int64(n))
			member.add(address(m))
		}
	}
	if _, err := t.exec("DELETE FROM member WHERE mailbox = ANY ($1::bigint[])", ids); err != nil {
		return fmt.Errorf("change members: %w", err)
	}
	if member.rows == 0 {
		return nil
	}
	_, err := t.exec(`INSERT INTO member (tenant, mailbox, position, address)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[])`, tenant, mailbox, position, member)
	if err != nil {
		return fmt.Errorf("write members: %w", err)
	}
	return nil
}

// writeAddresses writes the addresses that are others than they were.
func (t *tx) writeAddresses(d *directory, fresh []int64) error {
	var gone []string
	for key, a := range d.before {
		if d.addresses[key] != a {
			gone = append(gone, key)
		}
	}
	if len(gone) > 0 {
		if _, err := t.exec("DELETE FROM address WHERE key = ANY ($1::text[])", gone); err != nil {
			return fmt.Errorf("take addresses away: %w", err)
		}
	}
	keys, tenant, mailbox := newColumn(oidTextArray), newColumn(oidBigintArray), newColumn(oidBigintArray)
	position, spelling := newColumn(oidBigintArray), newColumn(oidTextArray)
	for key, a := range d.addresses {
		if d.before[key] == a {
			continue
		}
		id := a.mailbox
		if id < 0 {
			id = fresh[-id-1]
		}
		keys.add(key)
		tenant.add(int64(d.boxes[a.mailbox].tenant))
		mailbox.add(id)
		position.add(a.position)
		spelling.add(a.address)
	}
	if keys.rows == 0 {
		return nil
	}
	_, err := t.exec(`INSERT INTO address (key, tenant, mailbox, position, address)
		SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[])`, keys, tenant, mailbox, position, spelling)
	if err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	return nil
}
