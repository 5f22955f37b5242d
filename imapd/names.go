package imapd

import (
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"
)

const (
	delimiter = '/'
	// sharedPrefix is where mailboxes lie that a person shares with others: function
	// mailboxes, and those of whom she stands in for.
	sharedPrefix = "Funktionspostfächer"
	// sharedPrefixUTF7 is the same for clients that know no UTF-8: RFC 3501, section 5.1.3.
	sharedPrefixUTF7 = "Funktionspostf&AOQ-cher"
)

// A shelf is a mailbox that a person may open, and where its folders lie in the names that
// she sees.
type shelf struct {
	mailbox doppelboden.MailboxID
	under   string // "" for her own, else sharedPrefix/name
	box     Mailbox
}

// shelve puts a person's mailboxes on shelves. Shelves of mailboxes that she had before
// stay the same ones.
func (s *session) shelve(list []account.Grant) {
	before := s.shelves
	s.shelves = nil
	names := namesOf(list)
	for i, g := range list {
		under := names[i]
		at := slices.IndexFunc(before, func(b *shelf) bool { return b.mailbox == g.Mailbox && b.under == under })
		if at >= 0 {
			s.shelves = append(s.shelves, before[at])
			continue
		}
		s.shelves = append(s.shelves, &shelf{mailbox: g.Mailbox, under: under, box: s.server.opts.Mailbox(s.person.Tenant, g.Mailbox, s.server.by(s.person.ID))})
	}
}

// namesOf says under which name each granted mailbox lies: by the local part of its address,
// or by the whole address where two have the same.
func namesOf(list []account.Grant) []string {
	times := map[string]int{}
	for _, g := range list {
		if g.Kind != account.GrantOwn {
			times[strings.ToLower(g.Address.Local)]++
		}
	}
	names := make([]string, len(list))
	for i, g := range list {
		if g.Kind == account.GrantOwn {
			continue
		}
		name := g.Address.Local
		if times[strings.ToLower(name)] > 1 {
			name += "@" + g.Address.Domain
		}
		names[i] = sharedPrefix + "/" + norm.NFC.String(strings.NewReplacer("/", "_", "%", "_", "*", "_").Replace(name))
	}
	return names
}

// has reports whether a shelf is still there.
func (s *session) has(want *shelf) bool {
	return slices.Contains(s.shelves, want)
}

// nameOn returns how a folder of a shelf is called to the client.
func (b *shelf) nameOn(f *store.Folder) string {
	switch {
	case b.under == "":
		return f.Name
	case f.Use == store.UseInbox:
		return b.under
	}
	return b.under + "/" + f.Name
}

// split returns the shelf of a name and what the folder is called on it; "" with ok false
// for names that nobody may use.
func (s *session) split(name string) (b *shelf, folder string, ok bool) {
	name = norm.NFC.String(strings.TrimSuffix(name, "/"))
	if strings.EqualFold(name, doppelboden.Inbox) {
		name = doppelboden.Inbox
	}
	if name == sharedPrefix || strings.HasPrefix(name, sharedPrefix+"/") {
		for _, b := range s.shelves {
			if b.under == "" {
				continue
			}
			if name == b.under {
				return b, doppelboden.Inbox, true
			}
			if rest, under := strings.CutPrefix(name, b.under+"/"); under {
				return b, rest, true
			}
		}
		return nil, "", false
	}
	for _, b := range s.shelves {
		if b.under == "" && name != "" {
			return b, name, true
		}
	}
	return nil, "", false
}

// folder finds a folder by its name.
func (s *session) folder(name string) (*shelf, store.Folder, error) {
	b, want, ok := s.split(name)
	if !ok {
		return nil, store.Folder{}, no(imap.ResponseCodeNonExistent, sayNone)
	}
	list, err := b.box.Folders(s.ctx)
	if err != nil {
		return nil, store.Folder{}, refused(err)
	}
	for _, f := range list {
		if f.Name == want {
			return b, f, nil
		}
	}
	return nil, store.Folder{}, no(imap.ResponseCodeNonExistent, sayNone)
}

// target is folder for commands that put something there: RFC 9051, section 6.3.12.
func (s *session) target(name string) (*shelf, store.Folder, error) {
	b, f, err := s.folder(name)
	if e, ok := err.(*imap.Error); ok && e.Code == imap.ResponseCodeNonExistent {
		err = no(imap.ResponseCodeTryCreate, sayNone)
	}
	return b, f, err
}
