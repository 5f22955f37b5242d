package webmail

import (
	"strings"
	"testing"
	"time"
)

func TestTheLineOnTopSaysWhatIsKnown(t *testing.T) {
	s := newSite(t)
	now := s.clock().Local()
	early := time.Date(now.Year(), now.Month(), now.Day(), 0, 12, 0, 0, time.Local)
	for _, tc := range []struct {
		stands   Standing
		want, no string
	}{
		{Standing{Here: true}, "", `class="state"`},
		{Standing{Trusted: true, Now: true}, "Das Mailsystem der Stadt antwortet. Was Sie hier tun, kommt dort an. Ihre Post ist vollständig bis jetzt.", "kommt später"},
		{Standing{Trusted: true, Outage: early, Now: true}, "antwortet seit 00:12 nicht.", "kommt dort an"},
		{Standing{Trusted: true, Outage: early, Until: early}, "Ihre Post ist vollständig bis 00:12.", "bis jetzt"},
		{Standing{Trusted: true, Outage: early}, "kann hier fehlen.", "vollständig"},
		{Standing{Trusted: true, Outage: early, Again: true}, "antwortet wieder, nachdem es seit 00:12 nicht antwortete.", "Neue Post kommt hier an"},
		{Standing{Outage: early, Again: true}, "ist zur Sicherheit abgetrennt.", "antwortet"},
		{Standing{Outage: early}, "ist zur Sicherheit abgetrennt.", "antwortet"},
		{Standing{Trusted: true, Used: true}, "Sie arbeiten im Notfall-Postfach.", "nicht."},
	} {
		s.stands = tc.stands
		line, _, _ := strings.Cut(s.page(7, "/m/7/f/1"), `<div class="body">`)
		_, line, _ = strings.Cut(line, "</header>")
		if !strings.Contains(line, tc.want) || strings.Contains(line, tc.no) {
			t.Errorf("%+v: the line is %q; wanted %q in it and not %q", tc.stands, line, tc.want, tc.no)
		}
	}
}
