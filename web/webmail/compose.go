package webmail

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/store"
	"doppelboden/web"
)

// A draft is what somebody writes.
type draft struct {
	Key      string // names the sending: two clicks send once
	At       mark   // in the folder of drafts; its zero value: not saved yet
	From     string
	To       string
	Cc       string
	Bcc      string
	Subject  string
	Text     string
	Source   source
	Files    []file   // already there, of the draft or of the mail that is forwarded
	Refs     []string // message ids that it answers, the oldest first
	Problems []string // what is wrong, in the visitor's language
	Saved    string   // when it was saved, for people
	Most     string   // how large a mail may be, for people
	BccShown bool
	Action   string
	Book     string
	Complete string
	Taken    string // who answers the mail already
}

// Delay is how long after the last key a draft is saved. With large files that is longer:
// every saving writes all of it.
func (d draft) Delay() string {
	var total int64
	for _, f := range d.Files {
		total += f.Size
	}
	if total > 1<<20 {
		return "30s"
	}
	return "2s"
}

// A source is the mail that is answered or forwarded.
type source struct {
	Folder int64
	Mark   mark
	Kind   string // "reply", "forward" or ""
}

// String writes a source as parseSource reads it.
func (s source) String() string {
	if s.Kind == "" {
		return ""
	}
	return fmt.Sprintf("%s.%d.%s", s.Kind, s.Folder, s.Mark)
}

// parseSource reads what String wrote; anything else is no source.
func parseSource(text string) source {
	parts := strings.SplitN(text, ".", 3)
	if len(parts) != 3 || parts[0] != "reply" && parts[0] != "forward" {
		return source{}
	}
	f, err := strconv.ParseInt(parts[1], 10, 64)
	m := parseMark(parts[2])
	if err != nil || f < 1 || m.UID == 0 {
		return source{}
	}
	return source{Folder: f, Mark: m, Kind: parts[0]}
}

// A file is one that goes with a draft.
type file struct {
	Keep string // "d:2" for part 2 of the draft, "s:2" for part 2 of the source, "s:" for all of it
	Name string
	Size int64
}

// compose shows the page on which people write: empty, as an answer, or as it was saved.
func (d *Door) compose(w http.ResponseWriter, r *http.Request, k *desk) error {
	q := r.URL.Query()
	var dr draft
	var err error
	switch {
	case q.Get("draft") != "":
		dr, err = d.loadDraft(r.Context(), k, parseMark(q.Get("draft")))
	case q.Get("reply") != "":
		dr, err = d.answer(r, k, "reply."+q.Get("reply"), q.Get("all") != "")
	case q.Get("forward") != "":
		dr, err = d.forward(r, k, "forward."+q.Get("forward"), q.Get("as") == "file")
	default:
		dr = draft{Key: k.box.NewKey(), To: q.Get("to"), Subject: q.Get("subject")}
		dr.Text, err = d.withSignature(r.Context(), k, "")
	}
	if err != nil {
		return err
	}
	if q.Get("renewed") != "" {
		dr.Problems = []string{d.pages.T(r, renewedDraft)}
	}
	if q.Get("saved") != "" {
		dr.Saved = d.opts.Clock().Local().Format("15:04")
	}
	return d.writing(w, r, k, http.StatusOK, dr)
}

// writing shows the page with a draft.
func (d *Door) writing(w http.ResponseWriter, r *http.Request, k *desk, status int, dr draft) error {
	n, err := d.navigate(r, k, 0)
	if err != nil {
		return err
	}
	n.Page = "compose"
	dr.From = k.from()
	dr.Action, dr.Complete, dr.Book = k.base+"/compose", k.base+"/complete", k.base+"/book"
	dr.Most = web.Size(k.Language, d.opts.MostBytes*3/4)
	dr.BccShown = dr.Bcc != ""
	title := "New mail"
	switch dr.Source.Kind {
	case "reply":
		title = "Reply"
	case "forward":
		title = "Forward"
	}
	d.show(w, r, k, status, "compose", web.Page{Title: title, Nav: n, Data: dr})
	return nil
}

// from is whom the mails of this mailbox come from, for people.
func (k *desk) from() string {
	if k.grant.Name == "" {
		return k.grant.Address.String()
	}
	return k.grant.Name + " <" + k.grant.Address.String() + ">"
}

// withSignature puts the mailbox's signature below a text.
func (d *Door) withSignature(ctx context.Context, k *desk, text string) (string, error) {
	list, err := d.opts.Slips.Slips(ctx, k.Visitor.Tenant, k.grant.Mailbox, slipSignature)
	if err != nil {
		return "", err
	}
	if len(list) == 0 || strings.TrimSpace(list[0].Value) == "" {
		return text, nil
	}
	// RFC 3676, section 4.3
	return "\n\n-- \n" + strings.TrimSpace(list[0].Value) + "\n" + strings.TrimPrefix(text, "\n"), nil
}

// answer prepares the answer to a mail.
func (d *Door) answer(r *http.Request, k *desk, from string, all bool) (draft, error) {
	dr := draft{Key: k.box.NewKey(), Source: parseSource(from)}
	if _, err := k.current(r.Context(), dr.Source.Folder, dr.Source.Mark.Validity); err != nil {
		return draft{}, err
	}
	s, l, err := d.open(r.Context(), k, dr.Source.Folder, dr.Source.Mark.UID)
	if err != nil {
		return draft{}, err
	}
	sum := l.Summary()
	to := l.People("Reply-To")
	if len(to) == 0 {
		to = sum.From
	}
	if mine(k, to) && len(sum.To) > 0 { // somebody goes on with what she wrote herself
		to = sum.To
	}
	dr.To = written(to)
	if all {
		dr.Cc = written(without(append(append([]letter.Person{}, sum.To...), sum.Cc...), k, to))
	}
	dr.Subject = prefixed("Re: ", sum.Subject, "re:", "aw:", "antw:")
	dr.Refs = references(sum)
	quoted := d.pages.T(r, "On %s %s wrote:", web.Date(k.Language, dateOf(sum, s)), names(sum.From)) + "\n" + quote(l.Text())
	if dr.Text, err = d.withSignature(r.Context(), k, "\n\n"+quoted); err != nil {
		return draft{}, err
	}
	taken, err := d.taken(r.Context(), k)
	if err != nil {
		return draft{}, err
	}
	if who := taken[s.Message]; who != k.name() {
		dr.Taken = who
	}
	return dr, d.takeFor(r.Context(), k, s.Message)
}

// forward prepares handing a mail on: as text with its files, or as a file.
func (d *Door) forward(r *http.Request, k *desk, from string, whole bool) (draft, error) {
	dr := draft{Key: k.box.NewKey(), Source: parseSource(from)}
	if _, err := k.current(r.Context(), dr.Source.Folder, dr.Source.Mark.Validity); err != nil {
		return draft{}, err
	}
	s, l, err := d.open(r.Context(), k, dr.Source.Folder, dr.Source.Mark.UID)
	if err != nil {
		return draft{}, err
	}
	sum := l.Summary()
	dr.Subject = prefixed("Fwd: ", sum.Subject, "fwd:", "wg:", "fw:")
	if whole {
		dr.Files = []file{{Keep: "s:", Name: letter.FileName(cmp.Or(sum.Subject, "mail") + ".eml"), Size: s.Size}}
		dr.Text, err = d.withSignature(r.Context(), k, "")
		return dr, err
	}
	for _, p := range l.Parts() {
		if p.Attachment {
			dr.Files = append(dr.Files, file{Keep: "s:" + p.Path, Name: letter.FileName(cmp.Or(p.Name, "datei")), Size: p.Size})
		}
	}
	text := strings.Join([]string{
		"", "-------- " + d.pages.T(r, "Forwarded mail") + " --------",
		d.pages.T(r, "From") + ": " + written(sum.From), d.pages.T(r, "Date") + ": " + web.Date(k.Language, dateOf(sum, s)),
		d.pages.T(r, "To") + ": " + written(sum.To), d.pages.T(r, "Subject") + ": " + sum.Subject, "", l.Text(),
	}, "\n")
	dr.Text, err = d.withSignature(r.Context(), k, text)
	return dr, err
}

// dateOf is when a mail was written, or, where it does not say, when it came.
func dateOf(sum letter.Summary, s store.Shown) time.Time {
	if sum.Date.IsZero() {
		return s.Date
	}
	return sum.Date
}

// prefixed puts a prefix before a subject that has none of the known ones.
func prefixed(prefix, subject string, known ...string) string {
	for _, p := range known {
		if len(subject) >= len(p) && strings.EqualFold(subject[:len(p)], p) {
			return subject
		}
	}
	return prefix + subject
}

// quote marks a text as somebody else's: RFC 3676, section 4.5.
func quote(text string) string {
	const most = 64 << 10 // what is longer is better forwarded
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "\n[…]"
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ">") {
			lines[i] = ">" + l
		} else {
			lines[i] = "> " + l
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// references returns what an answer refers to: RFC 5322, section 3.6.4.
func references(sum letter.Summary) []string {
	refs := append([]string{}, sum.References...)
	if len(refs) == 0 {
		refs = append(refs, sum.InReplyTo...)
	}
	if sum.MessageID != "" {
		refs = append(refs, sum.MessageID)
	}
	if len(refs) > 20 { // the first and the last ones are what programs look at
		refs = append(refs[:1:1], refs[len(refs)-19:]...)
	}
	return refs
}

// written writes persons into a field.
func written(list []letter.Person) string {
	var all []string
	for _, p := range list {
		if p.Address == "" {
			continue
		}
		if p.Name == "" || strings.EqualFold(p.Name, p.Address) {
			all = append(all, p.Address)
			continue
		}
		all = append(all, quoteName(p.Name)+" <"+p.Address+">")
	}
	return strings.Join(all, ", ")
}

// quoteName quotes a name where it must be: RFC 5322, section 3.2.4.
func quoteName(name string) string {
	if strings.ContainsAny(name, `()<>[]:;@\,."`) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return name
}

// mine reports whether all persons are the mailbox itself.
func mine(k *desk, list []letter.Person) bool {
	for _, p := range list {
		a, err := doppelboden.ParseAddress(p.Address)
		if err != nil || a.Key() != k.grant.Address.Key() {
			return false
		}
	}
	return len(list) > 0
}

// without leaves out the mailbox itself, and those who are addressed already.
func without(list []letter.Person, k *desk, already []letter.Person) []letter.Person {
	seen := map[string]bool{k.grant.Address.Key(): true}
	for _, p := range already {
		if a, err := doppelboden.ParseAddress(p.Address); err == nil {
			seen[a.Key()] = true
		}
	}
	var rest []letter.Person
	for _, p := range list {
		a, err := doppelboden.ParseAddress(p.Address)
		if err != nil || seen[a.Key()] {
			continue
		}
		seen[a.Key()] = true
		rest = append(rest, p)
	}
	return rest
}
