package harvest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
)

const (
	// mostFolders is how many folders of a mailbox are listed, with those that cannot be opened
	// and those of other people. One that has more is not known whole.
	mostFolders = 5000
	// troubleBytes bounds what is kept of why a mailbox cannot be read.
	troubleBytes = 300
)

// errCut says that no look at the mailbox sees all of it.
var errCut = errors.New("it has more folders than are read")

// errGone says that the groupware has no such mailbox: that is no trouble of its server.
var errGone = errors.New("the groupware has no such mailbox")

// A visit is one look at a mailbox of the groupware.
type visit struct {
	r      *Room
	t      *tenant
	route  Route
	box    doppelboden.Mailbox
	budget int // so many more mails may be read for the first time
	read   int // so many were

	s       mailbox.Mirror
	began   time.Time
	state   store.HarvestBox
	said    bool // a person had said that all may be hidden, when this look began
	known   []store.HarvestFolder
	shelf   shelf                   // the mailbox here
	deeds   map[doppelboden.ID]bool // mails with something that has not gone back
	seen    boxTally
	cut     bool  // it has more folders than are read
	cause   error // why a part could not be read although the rest was
	changed bool  // something here changed
}

// run looks at all folders, and then at what vanished from them.
func (v *visit) run(ctx context.Context) (err error) {
	defer func() {
		if v.changed {
			v.r.opts.Changed(v.box.ID)
		}
		if err != nil {
			v.cause = err
		}
	}()
	o := &v.r.opts
	v.began = o.Clock()
	state, err := o.Store.HarvestBox(ctx, v.route.Tenant, v.box.ID)
	if err != nil {
		return fmt.Errorf("read what is known of the mailbox: %w", err)
	}
	v.state, v.said = state, state.Confirm
	if v.known, err = o.Store.HarvestFolders(ctx, v.route.Tenant, v.box.ID); err != nil {
		return fmt.Errorf("read what is known of folders: %w", err)
	}
	v.shelf = shelf{r: v.r, t: v.route.Tenant, id: v.box.ID}
	v.s, err = v.route.Backend.Mirror(ctx, v.box.Address)
	if doppelboden.CodeOf(err) == doppelboden.NotFound && err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err != nil {
		return fmt.Errorf("open the mailbox: %w", err)
	}
	defer func() { err = errors.Join(err, v.s.Close()) }()
	complete, err := v.folders(ctx)
	if err != nil {
		return err
	}
	if err := v.vanished(ctx); err != nil {
		return err
	}
	v.seen.filling = !complete
	return v.finish(ctx, complete)
}

// finish notes that the mailbox was read to its end. One with more folders than are read never
// is: nothing is proved of the others.
func (v *visit) finish(ctx context.Context, complete bool) error {
	if v.cut {
		v.cause = errCut
	}
	v.state.Tried, v.state.Trouble = v.began, ""
	if v.cause != nil {
		v.state.Trouble = bounded(v.cause.Error())
	}
	if complete && !v.cut {
		v.state.Began, v.state.At = v.began, v.r.opts.Clock()
	}
	return v.put(ctx, store.HarvestBatch{Box: &v.state})
}

// fail notes why the mailbox could not be read.
func (v *visit) fail(ctx context.Context) {
	if v.state.Mailbox == 0 {
		return // what is known of it could not be read, and must not be written over
	}
	v.state.Tried, v.state.Trouble = v.r.opts.Clock(), bounded(v.cause.Error())
	if err := v.put(ctx, store.HarvestBatch{Box: &v.state}); err != nil {
		v.r.opts.Log.Warn("it cannot be noted that a mailbox was not read", "mailbox", int64(v.box.ID), "err", err)
	}
}

// put writes a batch of this mailbox. What a person said before this look is used up with it;
// what one says during the look stays for the next.
func (v *visit) put(ctx context.Context, b store.HarvestBatch) error {
	b.Tenant, b.Mailbox = v.route.Tenant, v.box.ID
	if b.Box != nil && v.said && !v.state.Confirm {
		b.Confirm = &v.state.Confirm
	}
	if err := v.r.opts.Store.Harvest(ctx, v.r.opts.Lease(), []store.HarvestBatch{b}); err != nil {
		return fmt.Errorf("note what was read: %w", err)
	}
	v.said = v.said && b.Confirm == nil
	return nil
}

// folders reads all folders, and reports whether each was read to its end.
func (v *visit) folders(ctx context.Context) (complete bool, err error) {
	tree, err := v.tree(ctx)
	if err != nil {
		return false, err
	}
	states, err := v.s.States(ctx)
	if err != nil {
		return false, err
	}
	complete = true
	for _, b := range tree {
		f := v.folder(b)
		state, told := states[b.Name]
		if told && unchanged(f, state) {
			continue
		}
		done, err := v.readFolder(ctx, f)
		if doppelboden.CodeOf(err) == doppelboden.NotFound && err != nil {
			continue // it went meanwhile
		}
		if err != nil {
			return false, fmt.Errorf("read a folder: %w", err)
		}
		complete = complete && done
	}
	if v.cut { // which folders are gone is not known
		return complete, nil
	}
	return complete, v.lostFolders(ctx, tree)
}

// unchanged reports whether a folder is as it was when it was last read to its end. Without
// a modseq nobody knows.
func unchanged(f *store.HarvestFolder, now mailbox.State) bool {
	return f.Filled && !f.At.IsZero() && !f.Gone && now.ModSeq != 0 && f.ModSeq == now.ModSeq && f.Validity == now.Validity &&
		f.Next == now.Next && f.Exists == now.Exists
}

// tree returns the owner's own folders, those that matter most at first.
func (v *visit) tree(ctx context.Context) ([]mailbox.Branch, error) {
	tree, err := v.s.Tree(ctx, mostFolders+1)
	if err != nil {
		return nil, err
	}
	if v.cut = len(tree) > mostFolders; v.cut {
		tree = tree[:mostFolders]
	}
	foreign, err := v.s.Foreign(ctx)
	if err != nil {
		return nil, err
	}
	tree = slices.DeleteFunc(tree, func(b mailbox.Branch) bool {
		return b.NoSelect || isForeign(b.Name, foreign) || !nameable(b.Name)
	})
	guess(tree)
	slices.SortStableFunc(tree, func(a, b mailbox.Branch) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Name, b.Name))
	})
	return tree, nil
}

// isForeign reports whether a folder is another one's.
func isForeign(name string, foreign []string) bool {
	for _, f := range foreign {
		if name+"/" == f || strings.HasPrefix(name, f) {
			return true
		}
	}
	return false
}

// nameable reports whether a folder of ours can have a name.
func nameable(name string) bool {
	return name != "" && len(name) <= 500 && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// rank says which folders come first.
func rank(b mailbox.Branch) int {
	switch {
	case strings.EqualFold(b.Name, doppelboden.Inbox):
		return 0
	case useOf(b) == store.UseSent:
		return 1
	case useOf(b) == store.UseTrash, useOf(b) == store.UseJunk:
		return 3
	}
	return 2
}

// useOf returns what a folder of the groupware is for.
func useOf(b mailbox.Branch) store.Use {
	if strings.EqualFold(b.Name, doppelboden.Inbox) {
		return store.UseInbox
	}
	switch b.Use { // RFC 6154, section 2
	case `\Sent`:
		return store.UseSent
	case `\Drafts`:
		return store.UseDrafts
	case `\Trash`:
		return store.UseTrash
	case `\Junk`:
		return store.UseJunk
	case `\Archive`:
		return store.UseArchive
	}
	return store.UseNone
}

// folder returns what is known of a folder, which becomes known if need be.
func (v *visit) folder(b mailbox.Branch) *store.HarvestFolder {
	for i := range v.known {
		if v.known[i].Name == b.Name {
			v.known[i].Use = useOf(b)
			return &v.known[i]
		}
	}
	v.known = append(v.known, store.HarvestFolder{Tenant: v.route.Tenant, Mailbox: v.box.ID, Name: b.Name, Use: useOf(b)})
	return &v.known[len(v.known)-1]
}

// lostFolders notes folders that the groupware does not list any more, and their mails.
func (v *visit) lostFolders(ctx context.Context, tree []mailbox.Branch) error {
	for i := range v.known {
		f := &v.known[i]
		listed := slices.ContainsFunc(tree, func(b mailbox.Branch) bool { return b.Name == f.Name })
		if listed || f.Gone {
			continue
		}
		f.Gone = true
		gone, err := v.live(ctx, f)
		if err != nil {
			return err
		}
		for i := range gone {
			gone[i].Gone = v.began
		}
		if err := v.put(ctx, store.HarvestBatch{Folders: []store.HarvestFolder{*f}, Mails: gone}); err != nil {
			return err
		}
	}
	return nil
}

// live returns the mails of a folder that are known and not gone.
func (v *visit) live(ctx context.Context, f *store.HarvestFolder) ([]store.Harvest, error) {
	return v.liveFrom(ctx, f, 0)
}

// sortRoutes sorts by name.
func sortRoutes(list []RouteStatus) {
	slices.SortFunc(list, func(a, b RouteStatus) int { return strings.Compare(a.Route, b.Route) })
}

// harmless is a server's text as a log and a terminal may show it.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// bounded is such a text, not too long for a row.
func bounded(s string) string {
	s = harmless(s)
	return strings.ToValidUTF8(s[:min(len(s), troubleBytes)], "")
}
