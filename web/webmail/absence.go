package webmail

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"doppelboden/absence"
	"doppelboden/web"
)

// An awayPage is where people say that they are away.
type awayPage struct {
	absence.Setting
	Here    bool   // there is no groupware behind the mailbox
	State   string // what is true now, as a sentence
	Problem string // what is wrong with what was typed; "" for nothing
	Action  string
	Done    *done
}

// away shows the out-of-office answer of a mailbox.
func (d *Door) away(w http.ResponseWriter, r *http.Request, k *desk) error {
	s, err := d.absenceOf(r.Context(), k)
	if err != nil {
		return err
	}
	return d.showAway(w, r, k, awayPage{Setting: s, Done: readDone(r.URL.Query())}, http.StatusOK)
}

// absenceOf returns what is set; the zero value when nothing ever was.
func (d *Door) absenceOf(ctx context.Context, k *desk) (absence.Setting, error) {
	list, err := d.opts.Slips.Slips(ctx, k.Visitor.Tenant, k.grant.Mailbox, absence.Kind)
	if err != nil || len(list) == 0 {
		return absence.Setting{}, err
	}
	return absence.Decode(list[0].Value)
}

// showAway shows the form.
func (d *Door) showAway(w http.ResponseWriter, r *http.Request, k *desk, p awayPage, status int) error {
	n, err := d.navigate(r, k, 0)
	if err != nil {
		return err
	}
	n.Page = "settings"
	stands, err := d.opts.Standing(r.Context(), k.Visitor.Tenant, k.grant.Mailbox)
	if err != nil {
		return err
	}
	p.Here, p.Action = stands.Here, k.base+"/absence"
	if p.Problem == "" {
		p.State = stateOf(p.Setting, d.opts.Clock(), stands)
	}
	d.show(w, r, k, status, "absence", web.Page{Title: "Out-of-office answer", Nav: n, Data: p})
	return nil
}

// stateOf says in one sentence what holds now.
func stateOf(s absence.Setting, now time.Time, stands Standing) string {
	switch {
	case !s.On:
		return "It is switched off. Nobody gets an answer."
	case s.Over(now):
		return "The last day is over. Nobody gets an answer any more."
	case !s.Covers(now):
		return "It is switched on and begins on the first day."
	case !stands.Away:
		return "It is switched on. Nothing goes out from here now, because the city's mail system serves this mailbox."
	}
	return "It is switched on: your answer goes out from here now."
}

// saveAway keeps what somebody says about being away. What cannot be kept is shown again as
// it was typed.
func (d *Door) saveAway(w http.ResponseWriter, r *http.Request, k *desk) error {
	now := d.opts.Clock()
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(plain([]byte(r.PostForm.Get("text"))))
	s := absence.Setting{On: r.PostForm.Get("on") != "", From: dayOf(r.PostForm.Get("from")), Until: dayOf(r.PostForm.Get("until")),
		Subject: line(r.PostForm.Get("subject")), Text: strings.TrimSpace(text), Since: now}
	if err := s.Check(); err != nil {
		return d.showAway(w, r, k, awayPage{Setting: s, Problem: awayProblem(err)}, http.StatusBadRequest)
	}
	value, err := s.Encode()
	if err != nil {
		return err
	}
	if err := d.opts.Slips.PutSlip(r.Context(), k.Visitor.Tenant, k.grant.Mailbox, Slip{Kind: absence.Kind, Value: value, At: now}); err != nil {
		return err
	}
	http.Redirect(w, r, k.base+"/absence?done=saved", http.StatusSeeOther)
	return nil
}

// awayProblem says what is wrong with what was typed.
func awayProblem(err error) string {
	switch {
	case errors.Is(err, absence.ErrDay):
		return "A day cannot be read. Write it as in 24.12.2026."
	case errors.Is(err, absence.ErrOrder):
		return "The last day is before the first."
	case errors.Is(err, absence.ErrEmpty):
		return "The answer has no text."
	}
	return "The answer is too long."
}

// dayOf reads a day as browsers send it, or as people type it where a browser has no field
// for days. What is no day is left as it is, to be shown again.
func dayOf(typed string) string {
	typed = line(typed)
	for _, form := range []string{time.DateOnly, "2.1.2006", "2.1.06", "2/1/2006"} {
		if t, err := time.Parse(form, strings.ReplaceAll(typed, " ", "")); err == nil {
			return t.Format(time.DateOnly)
		}
	}
	return typed
}
