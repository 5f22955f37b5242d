package webmail

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/folder"
	"doppelboden/intake"
	"doppelboden/letter"
	"doppelboden/store"
	"doppelboden/web"
)

// saves remembers where the drafts lie that are being written now: a page that is saved
// while its reader clicks on "send" does not know the newest place yet.
type saves struct {
	mu    sync.Mutex
	last  map[string]*saved // by mailbox and draft.Key
	swept time.Time         // when what nobody saves any more was last forgotten
}

// A saved is one draft that is being written. Its lock is held while it is saved or sent.
type saved struct {
	sync.Mutex
	draft mark
	sent  bool
	at    time.Time
	users int // how many hold it, or wait for it; guarded by saves.mu
}

func newSaves() saves { return saves{last: map[string]*saved{}} }

const (
	// keptFor is how long a draft that nobody saves is remembered.
	keptFor = 24 * time.Hour
	// sweepEvery is how often those are looked for: all that were saved in a day are gone through.
	sweepEvery = time.Minute
)

// of returns what is known of a key, locked. Who has it must call leave.
func (s *saves) of(key string, now time.Time) (one *saved, leave func()) {
	s.mu.Lock()
	if age := now.Sub(s.swept); age >= sweepEvery || age < 0 {
		s.swept = now
		for k, v := range s.last {
			if now.Sub(v.at) > keptFor && v.users == 0 {
				delete(s.last, k)
			}
		}
	}
	one = s.last[key]
	if one == nil {
		one = &saved{}
		s.last[key] = one
	}
	one.at = now
	one.users++
	s.mu.Unlock()
	one.Lock()
	return one, func() { s.leave(key, one) }
}

// leave unlocks what of returned, and forgets it where there is nothing to remember.
func (s *saves) leave(key string, one *saved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.users--; one.users == 0 && one.draft == (mark{}) && !one.sent {
		delete(s.last, key)
	}
	one.Unlock()
}

// readDraft reads what somebody wrote from a form.
func readDraft(r *http.Request) (draft, error) {
	f := r.PostForm
	dr := draft{
		Key: f.Get("key"), At: parseMark(f.Get("draft")), To: f.Get("to"), Cc: f.Get("cc"), Bcc: f.Get("bcc"),
		Subject: line(f.Get("subject")), Text: strings.ReplaceAll(f.Get("text"), "\r\n", "\n"),
		Source: parseSource(f.Get("source")), Refs: strings.Fields(f.Get("refs")),
	}
	if len(dr.Key) < 16 || len(dr.Key) > 100 || strings.ContainsFunc(dr.Key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return draft{}, &doppelboden.Error{Code: doppelboden.Invalid, Public: "the form did not arrive whole"}
	}
	for i, ref := range dr.Refs {
		dr.Refs[i] = strings.Trim(line(ref), "<>")
	}
	for i, keep := range f["keep"] {
		if i < 200 && len(keep) < 100 && i < len(f["keepname"]) && i < len(f["keepsize"]) {
			size, _ := strconv.ParseInt(f["keepsize"][i], 10, 64)
			dr.Files = append(dr.Files, file{Keep: keep, Name: letter.FileName(f["keepname"][i]), Size: size})
		}
	}
	return dr, nil
}

// write does with what somebody wrote what a button says.
func (d *Door) write(w http.ResponseWriter, r *http.Request, k *desk) error {
	dr, err := readDraft(r)
	if err != nil {
		return err
	}
	what := r.PostForm.Get("do")
	held, leave := d.saves.of(k.base+dr.Key, d.opts.Clock())
	defer leave()
	dr.At = cmp.Or(held.draft, dr.At)
	if what == "discard" {
		return d.discard(w, r, k, dr, held)
	}
	if held.sent {
		return d.toSent(w, r, k)
	}
	if err := d.written(w, r, k, dr, held); err != nil {
		return d.stillThere(w, r, k, dr, held, err)
	}
	return nil
}

// written keeps what somebody wrote, and sends it if she says so. With an error nothing was
// answered.
func (d *Door) written(w http.ResponseWriter, r *http.Request, k *desk, dr draft, held *saved) error {
	what := r.PostForm.Get("do")
	dr.Files = slices.Clone(dr.Files) // who called shows them all when this fails
	lost, err := k.refresh(r.Context(), &dr)
	if err != nil {
		return err
	}
	if text, ok := strings.CutPrefix(what, "remove:"); ok {
		if i, err := strconv.Atoi(text); err == nil && i >= 0 && i < len(dr.Files) {
			dr.Files = slices.Delete(dr.Files, i, i+1)
		}
	}
	pieces, err := d.kept(r.Context(), k, dr)
	if err != nil {
		return err
	}
	if lost {
		held.draft = mark{}
		dr.Problems = append(dr.Problems, d.pages.T(r, renewedDraft))
	}
	added, err := uploads(r)
	if err != nil {
		return err
	}
	switch most := d.opts.MostBytes * 3 / 4; {
	case sizeOf(pieces) > most:
		dr.Problems = append(dr.Problems, d.pages.T(r, "The mail is too large. Send the files in several mails."))
	case web.Cut(r), sizeOf(pieces)+sizeOf(added) > most:
		dr.Problems = append(dr.Problems, d.pages.T(r, "The files are too large: all together may have %s at most. Those that you chose last were not added; send large files in several mails.", web.Size(k.Language, most)))
	default:
		pieces = append(pieces, added...)
	}
	if len(dr.Problems) > 0 {
		return d.again(w, r, k, dr, pieces, held)
	}
	if what == "send" {
		return d.send(w, r, k, dr, pieces, held)
	}
	if err := d.save(r.Context(), k, dr, pieces, held); err != nil {
		return err
	}
	http.Redirect(w, r, k.base+"/compose?draft="+held.draft.String()+"&saved=1", http.StatusSeeOther)
	return nil
}

// stillThere shows what somebody wrote once more, with why it could neither be kept nor sent:
// it is nowhere but on that page.
func (d *Door) stillThere(w http.ResponseWriter, r *http.Request, k *desk, dr draft, held *saved, why error) error {
	if old := (*renewed)(nil); errors.As(why, &old) {
		return why
	}
	say := func(sentence string) { dr.Problems = append(dr.Problems, d.pages.T(r, sentence)) }
	status, code := http.StatusServiceUnavailable, doppelboden.CodeOf(why)
	switch code {
	case doppelboden.NotFound:
		status, held.draft, dr.At, dr.Files = http.StatusNotFound, mark{}, mark{}, nil
		say("The draft that you wrote on, or the mail that its files came from, is no longer there. What you wrote is still on this page, and is not saved yet. Save it as a new draft, and attach the files again.")
	case doppelboden.TooLarge:
		status = http.StatusRequestEntityTooLarge
		say("The mail is too large. Send the files in several mails.")
		say("It could not be saved either. Copy your text before you leave this page.")
	default:
		if code == doppelboden.Busy {
			status = http.StatusTooManyRequests
		}
		say("That did not work just now. What you wrote is still on this page, and is not saved yet: try it again in a minute, and copy your text before you leave this page.")
		if text := web.Said(k.Language, why); text != "" {
			dr.Problems = append(dr.Problems, text)
		}
	}
	d.opts.Log.Warn("what somebody wrote could not be kept", "mailbox", int64(k.grant.Mailbox), "code", code.String(), "err", why)
	if err := d.writing(w, r, k, status, dr); err != nil {
		return why
	}
	return nil
}

// keepingText shows what somebody wrote to who is not logged in any more: she logs in beside it and
// goes on.
func (d *Door) keepingText(next http.Handler) http.Handler {
	return d.opts.Server.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if v := web.VisitOf(r); v.Visitor != nil && v.Visitor.Needs == "" {
			next.ServeHTTP(w, r)
			return nil
		}
		dr, err := readDraft(r)
		if err != nil {
			return err
		}
		dr.Action = r.URL.Path
		d.pages.Show(w, r, http.StatusUnauthorized, "ended", web.Page{Title: "You are not logged in any more", Data: dr})
		return nil
	})
}

// toSent leads from a sent mail to where its writer came from.
func (d *Door) toSent(w http.ResponseWriter, r *http.Request, k *desk) error {
	back := int64(1)
	if s := parseSource(r.PostForm.Get("source")); s.Folder > 0 {
		back = s.Folder
	}
	http.Redirect(w, r, pathOf(k.base, back, done{What: "sent"}.values()), http.StatusSeeOther)
	return nil
}

// autosave keeps what was written so far, and tells the page where it lies.
func (d *Door) autosave(w http.ResponseWriter, r *http.Request, k *desk) error {
	dr, err := readDraft(r)
	if err != nil {
		return err
	}
	held, leave := d.saves.of(k.base+dr.Key, d.opts.Clock())
	defer leave()
	if held.sent {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	dr.At = cmp.Or(held.draft, dr.At)
	lost, err := k.refresh(r.Context(), &dr)
	if err != nil {
		return err
	}
	pieces, err := d.kept(r.Context(), k, dr)
	if err != nil {
		return err
	}
	if err := d.save(r.Context(), k, dr, pieces, held); err != nil {
		return err
	}
	if lost {
		lead(w, r, k.base+"/compose?draft="+held.draft.String()+"&renewed=1")
		return nil
	}
	dr.At, dr.Saved = held.draft, d.opts.Clock().Local().Format("15:04")
	// The files lie in the draft now, one behind the other after the text.
	for i := range dr.Files {
		dr.Files[i].Keep = "d:" + strconv.Itoa(i+2)
	}
	d.pages.Part(w, r, "compose", "saved", web.Page{Data: dr})
	return nil
}

// save keeps a draft.
func (d *Door) save(ctx context.Context, k *desk, dr draft, pieces []piece, held *saved) error {
	m, err := k.build(dr, pieces, d.opts.Clock(), false)
	if err != nil {
		return err
	}
	number, err := folderFor(ctx, k.box, store.UseDrafts)
	if err != nil {
		return err
	}
	drafts, err := k.folder(ctx, number)
	if err != nil {
		return err
	}
	uid, err := k.box.SaveDraft(ctx, dr.At.UID, bytes.NewReader(m.bytes), int64(len(m.bytes)))
	if err != nil {
		return fmt.Errorf("save the draft: %w", err)
	}
	// Nothing that can fail stands between: the draft before is gone, and its number would be
	// used as long as this is remembered.
	held.draft = mark{uid, drafts.Validity}
	return nil
}

// discard throws a draft away: into the bin, so that it can be brought back.
func (d *Door) discard(w http.ResponseWriter, r *http.Request, k *desk, dr draft, held *saved) error {
	result := done{What: "discarded"}
	if dr.At.UID != 0 {
		drafts, err := k.drafts(r.Context(), dr.At)
		if err != nil {
			return err
		}
		if result, err = d.move(r.Context(), k, drafts.Place.Folder, []uint32{dr.At.UID}, store.UseTrash, "discarded"); err != nil {
			return err
		}
	}
	held.draft = mark{}
	http.Redirect(w, r, pathOf(k.base, 1, result.values()), http.StatusSeeOther)
	return nil
}

// send sends what somebody wrote, or shows it again with what is wrong.
func (d *Door) send(w http.ResponseWriter, r *http.Request, k *desk, dr draft, pieces []piece, held *saved) error {
	if dr.Problems = d.problems(r, k, dr); len(dr.Problems) > 0 {
		return d.again(w, r, k, dr, pieces, held)
	}
	m, err := k.build(dr, pieces, d.opts.Clock(), true)
	if err != nil {
		return err
	}
	o := folder.Outgoing{
		Key: dr.Key, From: k.grant.Address, Door: "webmail", Peer: peer(r),
		MaySend: func(a doppelboden.Address) bool {
			return a.Key() == k.grant.Address.Key() || d.opts.People.MaySend(r.Context(), account.PersonID(k.Visitor.Person), a)
		},
		Size: int64(len(m.bytes)), Body: bytes.NewReader(m.bytes),
	}
	for _, t := range m.to {
		o.To = append(o.To, intake.Recipient{Address: t.Address})
	}
	if dr.At.UID != 0 {
		drafts, err := folderFor(r.Context(), k.box, store.UseDrafts)
		if err != nil {
			return err
		}
		o.Replaces = &folder.Draft{Folder: drafts, UID: dr.At.UID}
	}
	from := &folder.Source{Folder: dr.Source.Folder, UID: dr.Source.Mark.UID}
	switch dr.Source.Kind {
	case "reply":
		o.Answers = from
	case "forward":
		o.Forwards = from
	}
	if _, err := k.box.Send(r.Context(), o); err != nil {
		dr.Problems = []string{d.refused(r, err)}
		d.opts.Log.Info("a mail was not sent", "mailbox", int64(k.grant.Mailbox), "code", doppelboden.CodeOf(err).String(), "err", err)
		return d.again(w, r, k, dr, pieces, held)
	}
	held.sent, held.draft = true, mark{}
	if k.shared() && from.Folder > 0 {
		if s, err := shownOf(r.Context(), k.box, from.Folder, from.UID); err == nil {
			_ = d.release(r.Context(), k, s.Message) // it ends by itself as well
		}
	}
	return d.toSent(w, r, k)
}

// peer is the address of the visitor's machine.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// again keeps what could not be sent, or not as it is, as a draft, and shows it with what is wrong.
func (d *Door) again(w http.ResponseWriter, r *http.Request, k *desk, dr draft, pieces []piece, held *saved) error {
	if err := d.save(r.Context(), k, dr, pieces, held); err != nil {
		d.opts.Log.Warn("a draft that could not be sent could not be kept either", "err", err)
		dr.Problems = append(dr.Problems, d.pages.T(r, "It could not be saved either. Copy your text before you leave this page."))
		return d.writing(w, r, k, http.StatusUnprocessableEntity, dr) // its files are where they were
	}
	dr.Saved = d.opts.Clock().Local().Format("15:04")
	dr.At = held.draft
	dr.Files = dr.Files[:0]
	for i, p := range pieces {
		dr.Files = append(dr.Files, file{Keep: "d:" + strconv.Itoa(i+2), Name: p.name, Size: int64(len(p.body))})
	}
	return d.writing(w, r, k, http.StatusUnprocessableEntity, dr)
}

// problems says what keeps a mail from being sent.
func (d *Door) problems(r *http.Request, k *desk, dr draft) (list []string) {
	count := 0
	dir := d.opts.Directory()
	for _, text := range []string{dr.To, dr.Cc, dr.Bcc} {
		good, wrong := parseTyped(text)
		count += len(good)
		for _, one := range wrong {
			list = append(list, d.pages.T(r, "“%s” is not an address. Write it like name@example.org, several with commas between.", one))
		}
		for _, t := range good {
			if _, ours := dir.TenantOf(t.Address.Domain); !ours {
				continue
			}
			if _, err := dir.Lookup(t.Address); doppelboden.CodeOf(err) == doppelboden.NoSuchMailbox && err != nil {
				list = append(list, d.pages.T(r, "Nobody here has the address %s. Look it up in the address book.", t.Address.String()))
			}
		}
	}
	if count == 0 && len(list) == 0 {
		list = append(list, d.pages.T(r, "Nobody to send it to: fill in “To”."))
	}
	return list
}

// refusals say in plain words what the rooms answer.
var refusals = map[string]string{
	"nothing is sent to the Internet from here":                                                    "From here nothing can be sent to addresses outside of the city. Your text is kept as a draft.",
	"the members of this list cannot be reached from here":                                         "The members of this list can't be reached from here. Your text is kept as a draft.",
	"this list has too many members":                                                               "This list has too many members for one mail. Your text is kept as a draft.",
	"this administration is in attack mode: its own systems send nothing through us at the moment": "At the moment nothing is sent, for safety. Your text is kept as a draft.",
}

// refused says why the rooms did not take a mail.
func (d *Door) refused(r *http.Request, err error) string {
	switch doppelboden.CodeOf(err) {
	case doppelboden.TooLarge:
		return d.pages.T(r, "The mail is too large. Send the files in several mails.")
	case doppelboden.Busy:
		return d.pages.T(r, "You have written to very many people within a short time. Your text is kept; send it again in an hour, or call your help desk.")
	case doppelboden.StorageFull, doppelboden.Temporary:
		return d.pages.T(r, "It could not be sent just now. Your text is kept as a draft; try again in a minute.")
	}
	if errors.Is(err, folder.ErrTooMany) {
		return d.pages.T(r, "This mail goes to more people than you may write to within an hour. Your text is kept as a draft; ask your help desk.")
	}
	if sentence, ok := refusals[doppelboden.PublicOf(err)]; ok {
		return d.pages.T(r, sentence)
	}
	if text := web.Said(web.VisitOf(r).Language, err); text != "" {
		return d.pages.T(r, "It was not sent: %s", text)
	}
	return d.pages.T(r, "It was not sent. Your text is kept as a draft; call your help desk if it goes on like that.")
}
