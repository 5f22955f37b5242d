package webmail

import (
	"context"
	"net/http"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/store"
	"doppelboden/web"
)

// A Slip is a small note that people leave with a mailbox.
type Slip struct {
	Kind  string    // slipTaken and so on
	Key   string    // unique among those of a kind in a mailbox
	Value string    // sealed at rest
	At    time.Time // when it was written
	Until time.Time // when it ends; zero: never
}

// Kinds of slips.
const (
	slipTaken     = "taken"     // somebody answers a mail: Key is its ID, Value her name
	slipSignature = "signature" // Key is empty, Value the text below what is written
)

// Slips keeps slips.
type Slips interface {
	// PutSlip replaces the slip with the same kind and key.
	PutSlip(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, s Slip) error
	// Slips returns the slips of a kind that have not ended.
	Slips(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, kind string) ([]Slip, error)
	// DropSlip removes a slip; one that is not there is no error.
	DropSlip(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, kind, key string) error
}

// takenFor is how long a mail counts as being answered by somebody. Who needs longer takes
// it again; who was called away leaves it to the others.
const takenFor = 30 * time.Minute

// taken returns who answers which mails of a mailbox of several people.
func (d *Door) taken(ctx context.Context, k *desk) (map[doppelboden.ID]string, error) {
	if !k.shared() {
		return nil, nil
	}
	list, err := d.opts.Slips.Slips(ctx, k.Visitor.Tenant, k.grant.Mailbox, slipTaken)
	if err != nil {
		return nil, err
	}
	all := map[doppelboden.ID]string{}
	for _, s := range list {
		if id, err := doppelboden.ParseID(s.Key); err == nil {
			all[id] = s.Value
		}
	}
	return all, nil
}

// shared reports whether others work in this mailbox as well.
func (k *desk) shared() bool { return k.grant.Kind == account.GrantFunction }

// name is what others call the visitor.
func (k *desk) name() string {
	if k.Visitor.Name != "" {
		return k.Visitor.Name
	}
	return k.Visitor.Address.String()
}

// takeFor notes that the visitor answers a mail, unless somebody else does already.
func (d *Door) takeFor(ctx context.Context, k *desk, id doppelboden.ID) error {
	all, err := d.taken(ctx, k)
	if err != nil || !k.shared() || all[id] != "" && all[id] != k.name() {
		return err
	}
	now := d.opts.Clock()
	return d.opts.Slips.PutSlip(ctx, k.Visitor.Tenant, k.grant.Mailbox,
		Slip{Kind: slipTaken, Key: id.String(), Value: k.name(), At: now, Until: now.Add(takenFor)})
}

// release notes that nobody answers a mail any more.
func (d *Door) release(ctx context.Context, k *desk, id doppelboden.ID) error {
	return d.opts.Slips.DropSlip(ctx, k.Visitor.Tenant, k.grant.Mailbox, slipTaken, id.String())
}

// take is the button "I answer this", and its contrary.
func (d *Door) take(w http.ResponseWriter, r *http.Request, k *desk) error {
	number, m, err := k.mailAt(r)
	if err != nil {
		return err
	}
	s, err := shownOf(r.Context(), k.box, number, m.UID)
	if err != nil {
		return err
	}
	if !k.shared() {
		return web.ErrNotFound
	}
	if r.PostForm.Get("do") == "release" {
		err = d.release(r.Context(), k, s.Message)
	} else {
		err = d.takeFor(r.Context(), k, s.Message)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, pathOf(k.base, number, nil)+"/"+m.String(), http.StatusSeeOther)
	return nil
}

// shownOf returns a mail of a folder. NotFound.
func shownOf(ctx context.Context, b Box, folder int64, uid uint32) (store.Shown, error) {
	var found store.Shown
	err := b.Shown(ctx, folder, store.ShownFilter{UIDs: []uint32{uid}}, func(s store.Shown) error {
		found = s
		return nil
	})
	if err != nil {
		return store.Shown{}, err
	}
	if found.UID == 0 {
		return store.Shown{}, web.ErrNotFound
	}
	return found, nil
}
