package webmail

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"doppelboden"
)

// setMode is Options.SetMode of the site.
func (s *site) setMode(_ context.Context, m doppelboden.MailboxID, emergency bool, by string) error {
	if m == 7 && by == "person:7" {
		s.stands.Used = emergency
	}
	return nil
}

func TestSomebodySaysWhetherHersWorks(t *testing.T) {
	s := newSite(t)
	s.has("before", s.page(7, "/m/7/settings"), "Meins geht nicht", `action="/m/7/mode"`)
	if got := s.ask(7, "/m/7/mode", url.Values{"mode": {"emergency"}}); got.Code != http.StatusSeeOther || !s.stands.Used {
		t.Errorf("mine does not work: %d, used here %v", got.Code, s.stands.Used)
	}
	s.has("afterwards", s.page(7, "/m/7/settings"), "geht bei mir wieder")
	if got := s.ask(7, "/m/7/mode", url.Values{"mode": {"normal"}}); got.Code != http.StatusSeeOther || s.stands.Used {
		t.Errorf("it works again: %d, used here %v", got.Code, s.stands.Used)
	}
	if got := s.ask(7, "/m/7/mode", url.Values{"mode": {"other"}}); got.Code != http.StatusNotFound {
		t.Errorf("a mode that there isn't: %d, want 404", got.Code)
	}
	if got := s.ask(7, "/m/8/mode", url.Values{"mode": {"emergency"}}); got.Code != http.StatusNotFound {
		t.Errorf("somebody else's mailbox: %d, want 404", got.Code)
	}
	s.stands.Here = true
	if strings.Contains(s.page(7, "/m/7/settings"), "/mode") {
		t.Error("where there is no groupware, something is to be chosen")
	}
}
