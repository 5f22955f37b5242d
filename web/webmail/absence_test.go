package webmail

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"doppelboden/absence"
)

func TestSomebodySaysThatSheIsAway(t *testing.T) {
	s := newSite(t)
	s.has("the settings", s.page(7, "/m/7/settings"), "Abwesenheit", `href="/m/7/absence"`, "Ausgeschaltet.")
	s.has("before", s.page(7, "/m/7/absence"), "Ausgeschaltet.", "nur hinaus, solange dieses Postfach im Notfall", `type="date"`)
	form := func(from, until, text string) url.Values {
		return url.Values{"on": {"yes"}, "from": {from}, "until": {until}, "subject": {"Bin\r\nBcc: x@y.example"}, "text": {text}}
	}
	if got := s.ask(7, "/m/7/absence", form("14.7.2026", "2026-07-20", "Ich bin weg.\r\n<b>Bauamt</b>\r\n")); got.Code != http.StatusSeeOther {
		t.Fatalf("saved: %d %s", got.Code, mainOf(got.Body.String()))
	}
	kept, err := absence.Decode(s.slips["7/absence/"].Value)
	want := absence.Setting{On: true, From: "2026-07-14", Until: "2026-07-20", Subject: "Bin  Bcc: x@y.example", Text: "Ich bin weg.\n<b>Bauamt</b>", Since: kept.Since}
	if err != nil || kept != want || kept.Since.IsZero() {
		t.Errorf("kept is %+v, %v; want %+v", kept, err, want)
	}
	s.has("served by the groupware", s.page(7, "/m/7/absence"), "Jetzt geht von hier nichts hinaus", "&lt;b&gt;Bauamt", `value="2026-07-14"`, " checked")
	s.stands.Away = true
	s.has("used here", s.page(7, "/m/7/absence"), "Ihre Antwort geht jetzt von hier hinaus")
	s.now = s.now.Add(7 * 24 * time.Hour)
	s.has("a week later", s.page(7, "/m/7/settings"), "Der letzte Tag ist vorbei")
	s.stands.Here = true
	s.has("without a groupware", s.page(7, "/m/7/absence"), "bekommt von hier Ihre Antwort")

	for name, one := range map[string]struct {
		form url.Values
		says string
	}{
		"a day that is none":   {form("morgen", "", "x"), "Ein Tag ist nicht lesbar"},
		"the end before":       {form("2026-07-20", "19.7.2026", "x"), "Der letzte Tag liegt vor dem ersten"},
		"no text":              {form("", "", " \r\n"), "Die Antwort hat keinen Text"},
		"more than anybody is": {form("", "", strings.Repeat("x", absence.MostText+1)), "Die Antwort ist zu lang"},
	} {
		got := s.ask(7, "/m/7/absence", one.form)
		if got.Code != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", name, got.Code)
		}
		s.has(name, got.Body.String(), one.says, "Nichts wurde gespeichert")
		if one.form.Get("from") != "" {
			s.has(name+", again", got.Body.String(), `value="`+dayOf(one.form.Get("from"))+`"`) // typed text is not lost
		}
	}
	if now, _ := absence.Decode(s.slips["7/absence/"].Value); now != kept {
		t.Errorf("what was wrong was kept: %+v", now)
	}
	if got := s.ask(7, "/m/7/absence", url.Values{"text": {"Ich bin weg."}}); got.Code != http.StatusSeeOther {
		t.Errorf("switched off: %d", got.Code)
	}
	s.has("switched off, the text stays", s.page(7, "/m/7/absence"), "Ausgeschaltet.", "Ich bin weg.")
	if got := s.ask(7, "/m/8/absence", form("", "", "x")); got.Code != http.StatusNotFound || s.slips["8/absence/"].Value != "" {
		t.Errorf("somebody else's mailbox: %d, %+v", got.Code, s.slips)
	}
	if got := s.ask(7, "/m/8/absence", nil); got.Code != http.StatusNotFound {
		t.Errorf("the page of somebody else's mailbox: %d", got.Code)
	}
}
