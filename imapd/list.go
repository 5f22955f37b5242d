package imapd

import (
	"cmp"
	"slices"
	"strings"

	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"golang.org/x/text/unicode/norm"
)

// A listed is a name as LIST tells it.
type listed struct {
	name       string
	shelf      *shelf        // nil: it only holds others
	folder     *store.Folder // nil: the same
	children   bool
	subscribed bool
}

// catalogue returns all names that a client may see, by name, the inbox first.
func (s *session) catalogue() ([]*listed, error) {
	all := map[string]*listed{}
	for _, b := range s.shelves {
		folders, err := b.box.Folders(s.ctx)
		if err != nil {
			return nil, refused(err)
		}
		for _, f := range folders {
			name := b.nameOn(&f)
			if b.under == "" && (name == sharedPrefix || strings.HasPrefix(name, sharedPrefix+"/")) {
				continue // the groupware has one of this name; here it is what is shared
			}
			all[name] = &listed{name: name, shelf: b, folder: &f, subscribed: f.Subscribed || b.under != ""}
		}
	}
	for _, l := range values(all) {
		for name := l.name; strings.Contains(name, "/"); {
			name = name[:strings.LastIndexByte(name, '/')]
			if all[name] == nil {
				all[name] = &listed{name: name}
			}
			all[name].children = true
		}
	}
	list := values(all)
	slices.SortFunc(list, func(a, b *listed) int {
		if inbox := cmp.Compare(rank(a), rank(b)); inbox != 0 {
			return inbox
		}
		return cmp.Compare(a.name, b.name)
	})
	return list, nil
}

// rank puts the inbox first.
func rank(l *listed) int {
	if l.folder != nil && l.folder.Use == store.UseInbox && l.shelf.under == "" {
		return 0
	}
	return 1
}

func values(all map[string]*listed) []*listed {
	list := make([]*listed, 0, len(all))
	for _, l := range all {
		list = append(list, l)
	}
	return list
}

// List implements imapserver.Session: RFC 9051, section 6.3.9; RFC 6154; RFC 5819.
func (s *session) List(w *imapserver.ListWriter, ref string, patterns []string, o *imap.ListOptions) error {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	if len(patterns) == 0 { // RFC 3501, section 6.3.8: asks for the delimiter
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: delimiter})
	}
	if len(patterns) > mostPatterns {
		return no(imap.ResponseCodeLimit, "Too many patterns.")
	}
	all, err := s.catalogue()
	if err != nil {
		return err
	}
	for i, p := range patterns {
		patterns[i] = norm.NFC.String(ref + p)
	}
	for _, l := range all {
		data := s.listing(all, l, patterns, o)
		if data == nil {
			continue
		}
		if o.ReturnStatus != nil && l.folder != nil {
			if data.Status, err = s.status(l.shelf, l.folder, l.name, o.ReturnStatus); err != nil {
				return refused(err)
			}
		}
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

// listing returns what is told of a name, or nil for nothing.
func (s *session) listing(all []*listed, l *listed, patterns []string, o *imap.ListOptions) *imap.ListData {
	if !slices.ContainsFunc(patterns, func(p string) bool { return matches(l.name, p) }) {
		return nil
	}
	data := &imap.ListData{Attrs: l.attributes(), Delim: delimiter, Mailbox: l.name}
	special := l.special()
	if o.SelectSpecialUse && special == "" {
		return nil
	}
	if special != "" {
		data.Attrs = append(data.Attrs, special)
	}
	if o.SelectSubscribed {
		below := slices.ContainsFunc(all, func(c *listed) bool { return c.subscribed && strings.HasPrefix(c.name, l.name+"/") })
		switch {
		case l.subscribed:
		case o.SelectRecursiveMatch && below:
		case below && l.folder == nil && !slices.ContainsFunc(patterns, func(p string) bool { return strings.Contains(p, "*") }):
			// RFC 3501, section 6.3.9: a name above a subscribed one that "%" would hide.
			return data
		default:
			return nil
		}
		if o.SelectRecursiveMatch && below {
			data.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
		}
	}
	if l.subscribed && (o.SelectSubscribed || o.ReturnSubscribed) {
		data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
	}
	return data
}

// attributes returns what a name is: RFC 9051, section 7.3.1.
func (l *listed) attributes() []imap.MailboxAttr {
	var attrs []imap.MailboxAttr
	if l.folder == nil {
		attrs = append(attrs, imap.MailboxAttrNoSelect)
	}
	if l.children {
		return append(attrs, imap.MailboxAttrHasChildren)
	}
	return append(attrs, imap.MailboxAttrHasNoChildren)
}

// special returns what a folder of the person's own mailbox is for: RFC 6154, section 2.
// Those of shared mailboxes have none, or programs would put her sent mail there.
func (l *listed) special() imap.MailboxAttr {
	if l.folder == nil || l.shelf.under != "" {
		return ""
	}
	switch l.folder.Use {
	case store.UseSent:
		return imap.MailboxAttrSent
	case store.UseDrafts:
		return imap.MailboxAttrDrafts
	case store.UseTrash:
		return imap.MailboxAttrTrash
	case store.UseJunk:
		return imap.MailboxAttrJunk
	case store.UseArchive:
		return imap.MailboxAttrArchive
	}
	return ""
}

// mostPatterns bounds the patterns of one LIST; programs send one.
const mostPatterns = 20

// matches reports whether a pattern with "%" and "*" names a folder: RFC 9051, section
// 6.3.9. It takes time that grows with the product of both lengths, whatever the pattern.
func matches(name, pattern string) bool {
	if upper := strings.ToUpper(pattern); upper == "INBOX" || strings.HasPrefix(upper, "INBOX/") {
		pattern = "INBOX" + pattern[5:]
	}
	could := make([]bool, len(name)+1) // whether the pattern so far can end at this place
	could[0] = true
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*', '%':
			for at := 1; at <= len(name); at++ {
				could[at] = could[at] || could[at-1] && (c == '*' || name[at-1] != delimiter)
			}
		default:
			for at := len(name); at > 0; at-- {
				could[at] = could[at-1] && name[at-1] == c
			}
			could[0] = false
		}
	}
	return could[len(name)]
}
