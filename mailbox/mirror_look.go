package mailbox

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
)

// Foreign asks for the namespaces.
func (s *session) Foreign(ctx context.Context) ([]string, error) {
	if err := s.separator(ctx); err != nil || !s.link.client.Caps().Has(imap.CapNamespace) {
		return nil, err
	}
	var data *imap.NamespaceData
	err := s.do(ctx, s.backend.opts.Timeout, func() (err error) {
		data, err = s.link.client.Namespace().Wait()
		return err
	})
	if err != nil {
		return nil, temporary("does not tell its namespaces", clean(err))
	}
	var all []string
	for _, n := range append(data.Other, data.Shared...) {
		if n.Prefix != "" {
			all = append(all, s.ours(n.Prefix))
		}
	}
	return all, nil
}

// States asks with one command for all folders: RFC 5819.
func (s *session) States(ctx context.Context) (map[string]State, error) {
	if err := s.separator(ctx); err != nil || !s.link.client.Caps().Has(imap.CapListStatus) {
		return nil, err
	}
	o := &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true,
		HighestModSeq: s.link.client.Caps().Has(imap.CapCondStore)}}
	all := map[string]State{}
	err := s.bounded(ctx, s.backend.opts.Timeout, large, func() error {
		cmd := s.link.client.List("", "*", o)
		for d := cmd.Next(); d != nil; d = cmd.Next() {
			if d.Status == nil || d.Status.NumMessages == nil {
				continue
			}
			all[s.ours(d.Mailbox)] = State{Folder: Folder{Validity: d.Status.UIDValidity, Next: uint32(d.Status.UIDNext), Exists: *d.Status.NumMessages},
				ModSeq: d.Status.HighestModSeq}
		}
		return cmd.Close()
	})
	if err != nil {
		return nil, temporary("does not list folders", clean(err))
	}
	return all, nil
}

// Look opens a folder with EXAMINE.
func (s *session) Look(ctx context.Context, folder string) (State, error) {
	if folder == "" {
		folder = s.backend.opts.Inbox
	}
	name, err := s.theirs(ctx, folder)
	if err != nil {
		return State{}, err
	}
	var data *imap.SelectData
	err = s.do(ctx, s.backend.opts.Timeout, func() (err error) {
		o := &imap.SelectOptions{ReadOnly: true, CondStore: s.link.client.Caps().Has(imap.CapCondStore)}
		data, err = s.link.client.Select(name, o).Wait()
		return err
	})
	if err != nil {
		return State{}, s.unselectable(ctx, name, err)
	}
	s.selected = name
	s.folder = Folder{Validity: data.UIDValidity, Next: uint32(data.UIDNext), Exists: data.NumMessages}
	return State{Folder: s.folder, ModSeq: data.HighestModSeq}, nil
}

// Since searches for what came since a day.
func (s *session) Since(ctx context.Context, from time.Time) ([]uint32, error) {
	if err := s.notSelected(); err != nil {
		return nil, err
	}
	return s.search(ctx, &imap.SearchCriteria{Since: from})
}

// flagsAtOnce is how many UIDs one FETCH of flags spans: some 60 octets each, and no more
// than large when a server answers at length.
const flagsAtOnce = 20_000

// Flags fetches flags in windows.
func (s *session) Flags(ctx context.Context, from, to uint32, modseq uint64, yield func(uid, flags uint32) error) error {
	if err := s.notSelected(); err != nil {
		return err
	}
	for low := uint64(max(from, 1)); low <= uint64(to); low += flagsAtOnce {
		var set imap.UIDSet
		set.AddRange(imap.UID(low), imap.UID(min(low+flagsAtOnce-1, uint64(to))))
		type one struct{ uid, flags uint32 }
		var window []one
		err := s.bounded(ctx, s.backend.opts.Timeout, large, func() error {
			cmd := s.link.client.Fetch(set, &imap.FetchOptions{UID: true, Flags: true, ChangedSince: modseq})
			for m := cmd.Next(); m != nil; m = cmd.Next() {
				var o one
				for item := m.Next(); item != nil; item = m.Next() {
					switch item := item.(type) {
					case imapclient.FetchItemDataUID:
						o.uid = uint32(item.UID)
					case imapclient.FetchItemDataFlags:
						o.flags = flagsOf(item.Flags)
					}
				}
				if o.uid != 0 && len(window) < flagsAtOnce {
					window = append(window, o)
				}
			}
			return cmd.Close()
		})
		if err != nil {
			return temporary("does not show flags", clean(err))
		}
		slices.SortFunc(window, func(a, b one) int { return int(int64(a.uid) - int64(b.uid)) })
		for _, o := range window {
			if err := yield(o.uid, o.flags); err != nil {
				return err
			}
		}
	}
	return nil
}

// flagNames are the flags that we know, in lower case.
var flagNames = map[string]uint32{
	`\seen`: doppelboden.Seen, `\answered`: doppelboden.Answered, `\flagged`: doppelboden.Flagged, `\draft`: doppelboden.Draft,
	`\deleted`: doppelboden.Deleted, `$forwarded`: doppelboden.Forwarded, `forwarded`: doppelboden.Forwarded, `$mdnsent`: doppelboden.MDNSent,
	`$junk`: doppelboden.Junk, `junk`: doppelboden.Junk, `$notjunk`: doppelboden.NotJunk, `notjunk`: doppelboden.NotJunk, `nonjunk`: doppelboden.NotJunk,
	`$label1`: doppelboden.Label1, `$label2`: doppelboden.Label2, `$label3`: doppelboden.Label3, `$label4`: doppelboden.Label4, `$label5`: doppelboden.Label5,
}

// flagsOf returns the flags that we know.
func flagsOf(list []imap.Flag) (flags uint32) {
	for _, f := range list {
		flags |= flagNames[strings.ToLower(string(f))]
	}
	return flags
}
