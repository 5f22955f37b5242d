package people

import (
	"context"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/harvest"
)

var day = time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)

// Coverages implements account.Mailboxes: nothing is complete.
func (s *site) Coverages(_ context.Context, _ doppelboden.TenantID, boxes []doppelboden.MailboxID, yield func(doppelboden.MailboxID, harvest.Coverage) error) error {
	for _, id := range boxes {
		whole := harvest.Part{Source: harvest.SourceMX, Since: day}
		old := harvest.Part{Source: harvest.SourceSync, Since: day, Until: day, Why: harvest.WhyTrouble}
		if err := yield(id, harvest.Coverage{Inbox: whole, Sent: whole, Internal: old}); err != nil {
			return err
		}
	}
	return nil
}

// Gaps implements account.Mailboxes.
func (s *site) Gaps(doppelboden.TenantID) []harvest.Gap {
	return []harvest.Gap{{Route: "<b>exchange</b>", What: harvest.GapMissing}, {Route: "kolab", What: harvest.GapLate}}
}

func TestHeadsSeeHowCompleteTheMailboxesOfTheirDepartmentsAre(t *testing.T) {
	s := newSite(t, "")
	b := s.enrolled("anna")
	s.must(s.room.Appoint(ctx, s.person("anna"), account.RoleHead, "Bauamt", "test"))
	page := b.get("/readiness").Body.String()
	for _, want := range []string{"0 von 2 Notfall-Postfächern sind bis vor wenigen Minuten vollständig", "2 Postfächer: Mail von Kollegen: nicht lesbar", "bert@stadt.example: Mail von Kollegen",
		"Mail unter Kollegen (&lt;b&gt;exchange&lt;/b&gt;): Wer im Notfall-Postfach arbeitet, bekommt nicht,", "Mail unter Kollegen (kolab): Wer im Notfall-Postfach arbeitet, bekommt erst dann"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not hold %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "clara@") || strings.Contains(page, "Standesamt") {
		t.Errorf("a head sees mailboxes of another department:\n%s", page)
	}
	s.must(s.room.Appoint(ctx, s.person("anna"), account.RoleAdmin, "", "test"))
	if page := b.get("/readiness").Body.String(); !strings.Contains(page, "0 von 3 Notfall-Postfächern") || !strings.Contains(page, "clara@") {
		t.Errorf("an administrator does not see all:\n%s", page)
	}
}

func TestEveryReasonHasItsWords(t *testing.T) {
	for _, why := range []string{harvest.WhyNothing, harvest.WhyNew, harvest.WhyPart, harvest.WhyRounds, harvest.WhyFilling, harvest.WhyStale, harvest.WhyTrouble, harvest.WhySilent, harvest.WhyStopped} {
		if german[whyTexts[why]] == "" {
			t.Errorf("nobody says what %q means", why)
		}
	}
	for _, part := range []string{harvest.PartInbox, harvest.PartInternal, harvest.PartSent} {
		if german[partTexts[part]] == "" {
			t.Errorf("nobody says what %q means", part)
		}
	}
}
