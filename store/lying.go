package store

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"doppelboden"
)

// What a change does to a mailbox is the same for every engine, so it is said once. An
// engine makes the mailbox its own until the commit, loads the rows that a change is about,
// has them changed here, and writes what came out.

// A Lying is a copy as engines keep it, one row of table copy.
type Lying struct {
	N       int64 // names the row; 0: it is new
	Message int64 // message.num
	ID      doppelboden.ID
	Size    int64
	Scan    doppelboden.ScanState
	Folder  int64 // 0: it was removed, and the groupware may have it still
	UID     uint32
	Flags   uint32
	Date    time.Time
	Change  int64
	Known   int64 // Change up to which it is known how the groupware has it
	Number  int64 // as a deed; 0: it never was one, or has no number yet
	Open    bool  // it is a deed
	Was     *Spot // while it is Open; otherwise the groupware has it as it is here
	At      time.Time

	Dirty bool // it is to be written
	Gone  bool // its row is to be removed
}

// A Keeping is a mailbox while something in it changes. Nobody else changes it meanwhile.
type Keeping struct {
	Tenant   doppelboden.TenantID
	Mailbox  doppelboden.MailboxID
	Change   int64 // the number of this change
	Validity int64 // the last that was given in the mailbox
	Numbers  int64 // the last number of a folder that was given
	Folders  map[int64]*Folder
	Touched  map[int64]bool // folders that are to be written
}

// Spot returns where a mail lies, or nil.
func (k *Keeping) Spot(l *Lying) *Spot {
	f := k.Folders[l.Folder]
	if f == nil || l.Flags&doppelboden.Hidden != 0 {
		return nil
	}
	return &Spot{Folder: f.Name, Use: f.Use, Flags: l.Flags}
}

// was returns how the groupware has a mail.
func (k *Keeping) was(l *Lying) *Spot {
	if l.Open {
		return l.Was
	}
	return k.Spot(l)
}

// sameSpot reports whether nothing needs to be done to make a mail that is at a one at b.
func sameSpot(a, b *Spot) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Folder == b.Folder && a.Flags == b.Flags
}

// compare says anew whether a mail is a deed, where the groupware has it as was says.
func (k *Keeping) compare(l *Lying, was *Spot) {
	l.Open, l.Was, l.Dirty = !sameSpot(was, k.Spot(l)), nil, true
	if l.Open {
		l.Was = was
	}
}

// count adds a mail to the counters of its folder, or takes it out for by = -1.
func (k *Keeping) count(l *Lying, by int64) {
	f := k.Folders[l.Folder]
	if f == nil || l.UID == 0 {
		return
	}
	k.touch(l.Folder)
	if l.Flags&doppelboden.Hidden != 0 {
		return
	}
	f.Total += by
	if l.Flags&doppelboden.Seen == 0 {
		f.Unseen += by
	}
}

// touch notes that a folder changes.
func (k *Keeping) touch(folder int64) {
	k.Folders[folder].Change = k.Change
	k.Touched[folder] = true
}

// number puts a mail at the end of a folder.
func (k *Keeping) number(l *Lying, folder int64) error {
	f := k.Folders[folder]
	if f.Next == 0 || f.Next == math.MaxUint32 { // RFC 9051, section 2.3.1.1: a UID has 32 bits
		return fmt.Errorf("folder %d of mailbox %d has no UIDs left", folder, k.Mailbox)
	}
	l.Folder, l.UID, l.Change, l.Dirty = folder, f.Next, k.Change, true
	f.Next++
	k.count(l, 1)
	return nil
}

// Look numbers mails that came into a folder.
func (k *Keeping) Look(folder int64, fresh []Lying) error {
	slices.SortStableFunc(fresh, func(a, b Lying) int {
		if a.Message != b.Message {
			return int(min(max(a.Message-b.Message, -1), 1))
		}
		return int(min(max(a.N-b.N, -1), 1))
	})
	for i := range fresh {
		if err := k.number(&fresh[i], folder); err != nil {
			return err
		}
	}
	k.touch(folder)
	return nil
}

// CheckChanges reports what is wrong with a list of changes.
func CheckChanges(list []Change) error {
	for i := range list {
		c := &list[i]
		switch {
		case c.Tenant != list[0].Tenant || c.Mailbox != list[0].Mailbox:
			return invalid("changes of several mailboxes cannot share a commit")
		case c.Action < ActFlag || c.Action > ActRemove:
			return invalid(fmt.Sprintf("there is no action %d", c.Action))
		}
	}
	return nil
}

func invalid(public string) error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: public}
}

// NoFolder is the error about a folder that is not there.
func NoFolder() error {
	return &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such folder"}
}

// Carry carries out a change on rows, which are in the order of their UIDs, and returns
// what became of them and the rows of what was copied.
func (k *Keeping) Carry(c *Change, rows []Lying) (done []Changed, made []Lying, err error) {
	if k.Folders[c.Folder] == nil || (c.Action == ActMove || c.Action == ActCopy) && k.Folders[c.To] == nil {
		return nil, nil, NoFolder()
	}
	for i := range rows {
		l := &rows[i]
		one := Changed{UID: l.UID}
		switch c.Action {
		case ActFlag:
			k.flag(l, c)
		case ActMove:
			err = k.move(l, c)
			one.NewUID = l.UID
		case ActCopy:
			twin := Lying{Message: l.Message, ID: l.ID, Size: l.Size, Scan: l.Scan, Flags: l.Flags, Date: l.Date, At: c.At}
			err = k.number(&twin, c.To)
			k.born(&twin, c.Deed)
			made, one.NewUID = append(made, twin), twin.UID
		case ActRemove:
			k.Remove(l, c.Deed, c.At)
		}
		if err != nil {
			return nil, nil, err
		}
		one.Flags = l.Flags
		done = append(done, one)
	}
	return done, made, nil
}

// born says of a new mail whether the groupware has it: not when it was made here.
func (k *Keeping) born(l *Lying, here bool) {
	was := k.Spot(l)
	if here {
		was = nil
	}
	k.compare(l, was)
	if !here {
		l.Known = l.Change
	}
}

func (k *Keeping) flag(l *Lying, c *Change) {
	was, before, after := k.was(l), *l, l.Flags&^c.Clear|c.Set
	l.Flags = after
	is := k.Spot(l)
	l.Flags = before.Flags
	now := was
	switch {
	case c.Deed:
	case c.Set&doppelboden.Hidden != 0:
		now = nil
	case is != nil && c.Clear&doppelboden.Hidden != 0:
		now = is // the groupware has it again
	case was != nil:
		now = &Spot{Folder: was.Folder, Use: was.Use, Flags: (was.Flags&^c.Clear | c.Set) &^ doppelboden.Hidden}
	}
	if before.Flags == after && sameSpot(now, was) {
		return
	}
	k.count(l, -1)
	l.Flags = after
	k.count(l, 1)
	k.changed(l, now, c.Deed, c.At)
}

func (k *Keeping) move(l *Lying, c *Change) error {
	was := k.was(l)
	if to := k.Folders[c.To]; !c.Deed && was != nil {
		was = &Spot{Folder: to.Name, Use: to.Use, Flags: was.Flags}
	}
	k.count(l, -1)
	if err := k.number(l, c.To); err != nil {
		return err
	}
	k.changed(l, was, c.Deed, c.At)
	return nil
}

// Remove takes a mail out of the mailbox. What the groupware has, or may soon have because
// it is being handed over, leaves its row until Returned says that it is gone there too.
func (k *Keeping) Remove(l *Lying, deed bool, at time.Time) {
	was := k.was(l)
	k.count(l, -1)
	if f := l.Folder; k.Folders[f] != nil {
		k.touch(f)
	}
	l.Folder, l.UID = 0, 0
	if !deed || was == nil && l.Number == 0 {
		l.Gone = true
		return
	}
	k.changed(l, was, deed, at)
}

// changed ends a change of a mail.
func (k *Keeping) changed(l *Lying, was *Spot, deed bool, at time.Time) {
	l.Change = k.Change
	if deed {
		l.At = at
	} else {
		l.Known = k.Change
	}
	k.compare(l, was)
}

// Returned notes how the groupware has a mail.
func (k *Keeping) Returned(l *Lying, r *Returned) {
	if l.Gone || r.Change < l.Known {
		return
	}
	if r.Is == nil && l.Folder == 0 {
		l.Gone = true
		return
	}
	l.Known = r.Change
	var was *Spot
	if r.Is != nil {
		was = &Spot{Folder: r.Is.Folder, Use: r.Is.Use, Flags: r.Is.Flags &^ doppelboden.Hidden}
	}
	k.compare(l, was)
}

// Below returns the numbers of a folder and of those below it.
func (k *Keeping) Below(folder int64) (numbers []int64) {
	name := k.Folders[folder].Name
	for _, n := range slices.Sorted(maps.Keys(k.Folders)) {
		if n == folder || strings.HasPrefix(k.Folders[n].Name, name+"/") {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// Put changes a folder, and the names of those below it. rows are those in them when f.Deed
// is set; otherwise all deeds of the mailbox.
func (k *Keeping) Put(f *Folder, rows []Lying) error {
	mine := k.Folders[f.Folder]
	if mine == nil {
		return NoFolder()
	}
	name, err := k.allowed(f)
	if err != nil {
		return err
	}
	before := make([]*Spot, len(rows))
	for i := range rows {
		before[i] = k.was(&rows[i])
	}
	old, names := mine.Name, map[string]string{}
	for _, n := range k.Below(f.Folder) {
		one := k.Folders[n]
		to := name + strings.TrimPrefix(one.Name, old)
		names[one.Name], one.Name = to, to
		k.touch(n)
	}
	mine.Use, mine.Subscribed = f.Use, f.Subscribed
	if name == old {
		return nil
	}
	for i := range rows {
		was := before[i]
		if to, renamed := "", false; !f.Deed && was != nil {
			if to, renamed = names[was.Folder]; renamed {
				was = &Spot{Folder: to, Use: was.Use, Flags: was.Flags}
			}
		}
		open := rows[i].Open
		if k.compare(&rows[i], was); f.Deed && !open && rows[i].Open {
			rows[i].At = f.At
		}
	}
	return nil
}

// New makes a folder.
func (k *Keeping) New(f *Folder, now time.Time) (*Folder, error) {
	name, err := k.allowed(f)
	if err != nil {
		return nil, err
	}
	made := k.Make(name, f.Use, now)
	made.Subscribed = f.Subscribed
	return made, nil
}

// Make makes a folder of whose name nobody needs to ask.
func (k *Keeping) Make(name string, use Use, now time.Time) *Folder {
	k.Numbers++
	k.Validity = NextValidity(k.Validity, now)
	f := &Folder{Place: Place{Tenant: k.Tenant, Mailbox: k.Mailbox, Folder: k.Numbers}, Name: name, Use: use, Subscribed: true,
		Validity: uint32(k.Validity), Next: 1}
	k.Folders[f.Folder] = f
	k.touch(f.Folder)
	return f
}

// Use gives a folder a use that it and every other folder lacks.
func (k *Keeping) Use(folder int64, use Use) {
	k.Folders[folder].Use = use
	k.touch(folder)
}

// NextValidity returns a UIDVALIDITY that follows the last one of a mailbox: the second at
// which it is given, or the next number. So no name ever has one twice.
func NextValidity(last int64, now time.Time) int64 { return max(last+1, now.Unix()) }

// allowed reports what is wrong with name and use of a folder, and returns the name in NFC.
func (k *Keeping) allowed(f *Folder) (string, error) {
	const inbox = 1
	if f.Folder == inbox {
		if f.Name != doppelboden.Inbox || f.Use != UseInbox {
			return "", invalid("the inbox keeps its name")
		}
		return f.Name, nil
	}
	name, err := FolderName(f.Name)
	if err != nil {
		return "", err
	}
	if !slices.Contains([]Use{UseNone, UseSent, UseDrafts, UseTrash, UseJunk, UseArchive}, f.Use) {
		return "", invalid("no folder but the inbox has this use")
	}
	mine := k.Folders[f.Folder]
	for n, other := range k.Folders {
		switch {
		case n == f.Folder:
		case other.Name == name:
			return "", invalid("there is a folder with this name already")
		case f.Use != UseNone && other.Use == f.Use:
			return "", invalid("there is a folder with this use already")
		case mine != nil && mine.Name != name && strings.HasPrefix(other.Name, name+"/") && !strings.HasPrefix(other.Name, mine.Name+"/"):
			return "", invalid("there are folders below this name already")
		}
	}
	if mine != nil && strings.HasPrefix(name, mine.Name+"/") {
		return "", invalid("a folder cannot lie below itself")
	}
	return name, nil
}

// maxFolderName bounds the name of a folder in bytes: less than what groupware allows.
const maxFolderName = 500

// FolderName returns the name of a folder in NFC, or what is wrong with it.
func FolderName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", invalid("the name of the folder is not UTF-8")
	}
	name = norm.NFC.String(name)
	first, _, _ := strings.Cut(name, "/")
	switch {
	case name == "":
		return "", invalid("a folder needs a name")
	case len(name) > maxFolderName:
		return "", invalid("the name of the folder is too long")
	case strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.Contains(name, "//"):
		return "", invalid("a part of the folder's name is empty")
	case strings.HasPrefix(name, mark):
		return "", invalid("the name of a folder does not begin with a backslash")
	case strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError
	}):
		return "", invalid("the name of the folder holds characters that cannot be shown")
	case strings.EqualFold(name, doppelboden.Inbox), first != doppelboden.Inbox && strings.EqualFold(first, doppelboden.Inbox):
		return "", invalid("there is one inbox, and its name is INBOX")
	}
	return name, nil
}

// A UIDRange is UIDs from From to To, both included.
type UIDRange struct{ From, To uint32 }

// Ranges returns UIDs as few ranges, rising.
func Ranges(uids []uint32) (list []UIDRange) {
	for _, uid := range slices.Compact(slices.Sorted(slices.Values(uids))) {
		if n := len(list); n > 0 && list[n-1].To+1 == uid {
			list[n-1].To = uid
		} else if uid != 0 {
			list = append(list, UIDRange{uid, uid})
		}
	}
	return list
}

// Ranges returns the ranges of UIDs that f selects, in the order in which they are yielded.
func (f *ShownFilter) Ranges() []UIDRange {
	from, to := max(f.From, 1), f.To
	if to == 0 {
		to = math.MaxUint32
	}
	list := []UIDRange{{from, to}}
	if len(f.UIDs) > 0 {
		list = nil
		for _, r := range Ranges(f.UIDs) {
			if r = (UIDRange{max(r.From, from), min(r.To, to)}); r.From <= r.To {
				list = append(list, r)
			}
		}
	}
	if f.Newest {
		slices.Reverse(list)
	}
	return list
}

// shownPage is how many mails one short read of a folder gives.
const shownPage = 1024

// Walk yields what f selects, page by page, with no read open meanwhile. page returns at
// most limit mails with UIDs in a range, in f's order.
func (f *ShownFilter) Walk(page func(r UIDRange, limit int) ([]Shown, error), yield func(Shown) error) error {
	left := f.Limit
	for _, r := range f.Ranges() {
		for r.From <= r.To {
			limit := shownPage
			if f.Limit > 0 {
				limit = min(limit, left)
			}
			if limit == 0 {
				return nil
			}
			list, err := page(r, limit)
			if err != nil {
				return err
			}
			for _, one := range list {
				if err := yield(one); err != nil {
					return err
				}
			}
			left -= len(list)
			if len(list) < limit || !f.Message.IsZero() {
				break
			}
			switch last := list[len(list)-1].UID; {
			case f.Newest:
				r.To = last - 1
			case last == math.MaxUint32:
				r.From, r.To = 1, 0
			default:
				r.From = last + 1
			}
		}
	}
	return nil
}
