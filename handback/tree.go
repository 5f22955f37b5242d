package handback

import (
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// attributes are the uses of folders as IMAP calls them: RFC 6154, section 2.
var attributes = map[store.Use]string{store.UseSent: `\Sent`, store.UseDrafts: `\Drafts`, store.UseTrash: `\Trash`,
	store.UseJunk: `\Junk`, store.UseArchive: `\Archive`}

// usual are the names of such folders in groupware that says nothing of their uses: those of
// Outlook, Thunderbird, Apple Mail, Kolab and others, in German and English.
var usual = map[store.Use][]string{
	store.UseSent:    {"Gesendet", "Sent", "Gesendete Elemente", "Sent Items", "Gesendete Objekte", "Gesendete Nachrichten", "Sent Messages", "Sent Mail"},
	store.UseDrafts:  {"Entwürfe", "Drafts", "Entwurf", "Draft"},
	store.UseTrash:   {"Papierkorb", "Trash", "Gelöschte Elemente", "Deleted Items", "Gelöschte Objekte", "Gelöschte Nachrichten", "Deleted Messages", "Gelöscht", "Deleted"},
	store.UseJunk:    {"Spam", "Junk", "Junk-E-Mail", "Junk E-Mail", "Junk Email", "Unerwünscht", "Werbung", "Bulk Mail"},
	store.UseArchive: {"Archiv", "Archive", "Archives"},
}

// mostBranches bounds the folders of a mailbox that are read.
const mostBranches = 5000

// A tree says what the groupware calls folders of ours. The inbox is "".
type tree struct {
	names  []string // that can be opened, as the groupware lists them, the inbox left out
	uses   map[store.Use]string
	prefix string            // what all names but the inbox's begin with: "INBOX/" on some servers
	known  map[string]string // our names: theirs, as reading has found them
	ours   []store.Folder    // that have a use
}

// newTree joins what the groupware lists, what reading it has found, and our folders.
func newTree(list []mailbox.Branch, ours []store.Folder, found []store.HarvestFolder) *tree {
	t := &tree{uses: map[store.Use]string{}, known: map[string]string{}}
	below := 0
	for _, b := range list {
		if strings.EqualFold(b.Name, doppelboden.Inbox) {
			continue
		}
		if len(b.Name) > len("INBOX/") && strings.EqualFold(b.Name[:len("INBOX/")], "INBOX/") {
			below++
		}
		if !b.NoSelect {
			t.names = append(t.names, b.Name)
		}
		for use, attribute := range attributes {
			if strings.EqualFold(b.Use, attribute) && t.uses[use] == "" && !b.NoSelect {
				t.uses[use] = b.Name
			}
		}
	}
	if below > 0 && below == len(list)-1 {
		t.prefix = "INBOX/"
	}
	for use, names := range usual {
		for _, name := range names {
			if t.uses[use] != "" {
				break
			}
			t.uses[use] = t.listed(t.prefix + name)
		}
	}
	numbers := map[int64]string{}
	for _, f := range ours {
		numbers[f.Place.Folder] = f.Name
		if f.Use != store.UseNone && f.Use != store.UseInbox {
			t.ours = append(t.ours, f)
		}
	}
	for _, f := range found {
		if name := numbers[f.Ours]; name != "" && !f.Gone && !strings.EqualFold(f.Name, doppelboden.Inbox) && slices.Contains(t.names, f.Name) {
			t.known[name] = f.Name
		}
	}
	return t
}

// listed returns a name as the groupware lists it, in whatever case; "" when it does not.
func (t *tree) listed(name string) string {
	for _, n := range t.names {
		if strings.EqualFold(n, name) {
			return n
		}
	}
	return ""
}

// theirs returns what the groupware calls a folder of ours, also one that is to be made.
func (t *tree) theirs(s *store.Spot) string {
	if s.Use == store.UseInbox || strings.EqualFold(s.Folder, doppelboden.Inbox) {
		return ""
	}
	if name := t.known[s.Folder]; name != "" {
		return name
	}
	if name := t.uses[s.Use]; name != "" && s.Use != store.UseNone {
		return name
	}
	for _, f := range t.ours { // "Gesendet/2026" lies below their folder of sent mail
		if rest, below := strings.CutPrefix(s.Folder, f.Name+"/"); below {
			return t.theirs(&store.Spot{Folder: f.Name, Use: f.Use}) + "/" + rest
		}
	}
	if t.prefix != "" && len(s.Folder) > len(t.prefix) && strings.EqualFold(s.Folder[:len(t.prefix)], t.prefix) {
		return s.Folder
	}
	return t.prefix + s.Folder
}

// used fills in what the folder of a spot is for, where whoever says it does not know.
func (t *tree) used(s *store.Spot) *store.Spot {
	for _, f := range t.ours {
		if f.Name == s.Folder && s.Use == store.UseNone {
			return &store.Spot{Folder: s.Folder, Use: f.Use, Flags: s.Flags}
		}
	}
	return s
}

// bin is the folder for what was deleted.
func (t *tree) bin() string { return t.forUse(store.UseTrash) }

// forUse is the folder for a use.
func (t *tree) forUse(use store.Use) string {
	for _, f := range t.ours {
		if f.Use == use {
			return t.theirs(&store.Spot{Folder: f.Name, Use: f.Use})
		}
	}
	return t.theirs(&store.Spot{Folder: usual[use][0], Use: use})
}

// isSent reports whether a folder of ours is the one for what was sent.
func (t *tree) isSent(name string) bool {
	return slices.ContainsFunc(t.ours, func(f store.Folder) bool { return f.Name == name && f.Use == store.UseSent })
}
