package filing

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// compare finds out which of the items an earlier try has put into the folder already, and
// reports whether that could be found out.
func (r *run) compare(ctx context.Context) bool {
	box := r.items[0].Delivery.Box
	last, err := r.opts.Store.FilingOf(ctx, box)
	if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
		r.fail(doppelboden.Later, doppelboden.AboutRecipient, phaseAppend, "what the folder said before cannot be read: "+err.Error())
		return false
	}
	var filed, tried []doppelboden.ID // by an earlier run; by a try of which nobody knows
	sizes := map[doppelboden.ID]store.Item{}
	for _, it := range r.items {
		switch {
		case err == nil && last.Route == r.lane && it.Delivery.Seq <= last.Through:
			filed = append(filed, it.Delivery.Message)
			sizes[it.Delivery.Message] = it
		case uncertain(it.Delivery):
			tried = append(tried, it.Delivery.Message)
		}
	}
	if len(filed) > 0 {
		r.before = &last
	}
	var wrong error
	switch {
	case len(filed) == 0:
	case last.Folder != r.name:
		wrong = r.lookElsewhere(ctx, last.Folder, &last, filed, sizes)
		for _, id := range filed { // it may have been brought here, or lie in another one
			if _, there := r.found[id]; !there || last.Validity == 0 {
				tried = append(tried, id)
			}
		}
	case last.Validity == r.folder.Validity && last.Next > 0:
		r.open = &last
		wrong = r.since(ctx, last.Next, sizes)
	default:
		// UIDs of another UIDVALIDITY say nothing (RFC 9051, section 2.3.1.1), so all of the
		// folder is looked through.
		tried = append(tried, filed...)
	}
	if wrong == nil && len(tried) > 0 {
		wrong = r.find(ctx, tried)
		if wrong == nil && r.name != r.groupw.Folder { // new mail goes there by every other way
			wrong = r.lookElsewhere(ctx, r.groupw.Folder, nil, tried, sizes)
		}
	}
	if wrong == nil {
		wrong = r.fetch(ctx)
	}
	if wrong != nil {
		r.fail(doppelboden.Later, doppelboden.AboutRoute, phaseAppend, "the mailbox cannot be looked into: "+wrong.Error())
		return false
	}
	if r.open != nil {
		r.missing(filed)
	}
	if len(r.found) > 0 {
		r.opts.Courier.Log.Info("mail of an earlier try is in its mailbox", "lane", r.lane, "box", box, "mails", len(r.found))
	}
	return true
}

// since looks for items among what came into the selected folder since a note.
func (r *run) since(ctx context.Context, next uint32, sizes map[doppelboden.ID]store.Item) error {
	return r.session.Seen(ctx, next, func(s mailbox.Seen) error {
		if it, ours := sizes[s.ID]; ours && r.same(it, s) {
			r.found[s.ID] = s
		}
		return nil
	})
}

// find looks for mails in the selected folder.
func (r *run) find(ctx context.Context, ids []doppelboden.ID) error {
	there, err := r.session.Find(ctx, ids)
	for id, s := range there {
		r.found[id] = s
	}
	return err
}

// lookElsewhere looks for mails in a folder into which an earlier try may have put them:
// people have moved them here since then. Afterwards the folder of this run is selected again.
func (r *run) lookElsewhere(ctx context.Context, folder string, last *store.Filing, ids []doppelboden.ID, sizes map[doppelboden.ID]store.Item) error {
	before := maps.Clone(r.found)
	f, err := r.session.Select(ctx, folder)
	switch {
	case err != nil && doppelboden.CodeOf(err) == doppelboden.NotFound:
		err = nil
	case err != nil:
	case last != nil && last.Validity == f.Validity && last.Next > 0:
		err = r.since(ctx, last.Next, sizes)
	default:
		err = r.find(ctx, ids)
	}
	if err != nil {
		return err
	}
	for id, s := range r.found {
		if was, known := before[id]; !known || was != s {
			r.strays[folder] = append(r.strays[folder], id)
		}
	}
	r.folder, err = r.session.Select(ctx, r.name)
	return err
}

// missing notes which mails of an earlier run are surely not there: then nothing is in
// doubt about them any more.
func (r *run) missing(filed []doppelboden.ID) {
	for i := range r.items {
		id := r.items[i].Delivery.Message
		if _, there := r.found[id]; there || !slices.Contains(filed, id) {
			continue
		}
		r.opts.Courier.Tally.Answer(r.outcome(i, doppelboden.Later, doppelboden.AboutRecipient, phaseFound, "it is not in the mailbox"))
	}
}

// same reports whether a mail of the folder is what an earlier run put there: besides our
// id, the date or the size must fit. What merely bears the id of a mail is not taken for
// it, because then it would never arrive; some servers change one of the two.
func (r *run) same(it store.Item, s mailbox.Seen) bool {
	if d := s.Date.Sub(it.Message.Received); d > -time.Second && d < time.Second {
		return true
	}
	size, _, err := r.measure(it.Message)
	return err == nil && size == s.Size
}

// uncertain reports whether an earlier try of a delivery may have reached the mailbox although
// nobody said so: the whole mail was sent, and no answer came. Only the last words are kept,
// so that of several tries, and after what a person decided, nobody knows.
func uncertain(d doppelboden.Delivery) bool {
	phase, rest, _ := strings.Cut(d.Reply, " ")
	_, said, _ := strings.Cut(rest, ": ") // behind the server
	switch {
	case d.Attempts == 0:
		return false
	case d.Attempts > 1 || !tries[phase]:
		return true
	case phase == phaseAppend:
		return strings.HasPrefix(said, "no answer")
	case phase == "dot": // an answer begins with its code
		code, _, _ := strings.Cut(said, " ")
		return len(code) != 3 || strings.Trim(code, "0123456789") != ""
	}
	return false
}

// tries are the phases of which a try's words tell.
var tries = map[string]bool{"connect": true, "greeting": true, "helo": true, "starttls": true, "mail": true, "rcpt": true,
	"data": true, "dot": true, phaseLogin: true, phaseAppend: true}
