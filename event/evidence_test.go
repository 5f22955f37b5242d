package event

import (
	"testing"

	"doppelboden"
)

func TestAnswersAreSortedByWhatTheySayOfAMailbox(t *testing.T) {
	reply := func(code int, enhanced, text string) doppelboden.Reply {
		return doppelboden.Reply{Code: code, Enhanced: enhanced, Text: text}
	}
	for what, tc := range map[string]struct {
		o    doppelboden.Outcome
		want sort
	}{
		"taken":                            {tookIt, took},
		"no user":                          {noUser, refused},
		"a 4xx":                            {notNow, deferred},
		"full":                             {full, own},
		"full, in words":                   {doppelboden.Outcome{Verdict: doppelboden.Refused, Scope: doppelboden.AboutRecipient, Phase: "rcpt", Reply: reply(552, "", "Quota exceeded")}, own},
		"greylisted":                       {doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRecipient, Phase: "rcpt", Reply: reply(450, "4.2.0", "Greylisted, come back later")}, own},
		"too many recipients":              {doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRecipient, Phase: "rcpt", Reply: reply(452, "4.5.3", "Too many recipients")}, nothing},
		"a mail":                           {badMail, message},
		"nobody there":                     {nobody, silent},
		"broken off":                       {brokeOff, broken},
		"no answer to the dot":             {doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutMessage, Phase: "dot", InDoubt: true}, broken},
		"a body that we cannot read":       {doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutMessage, Phase: "data", Reply: reply(0, "", "body cannot be read")}, nothing},
		"an address that it is not told":   {doppelboden.Outcome{Verdict: doppelboden.Refused, Scope: doppelboden.AboutRecipient, Phase: "rcpt", Reply: reply(0, "5.6.7", "no SMTPUTF8")}, nothing},
		"421 in answer to RCPT":            {doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRoute, Phase: "rcpt", Reply: reply(421, "", "closing")}, broken},
		"a greeting that sends us away":    {doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRoute, Phase: "greeting", Reply: reply(554, "", "go away")}, silent},
		"an answer that nobody classified": {doppelboden.Outcome{Scope: doppelboden.AboutRecipient, Phase: "rcpt", Reply: reply(451, "", "?")}, deferred},
	} {
		if got := sortOf(&tc.o); got != tc.want {
			t.Errorf("%s: sort %d, want %d", what, got, tc.want)
		}
	}
}

func TestOfARepliesTextOnlyWhatIsTheSameForAllMailIsKept(t *testing.T) {
	for text, want := range map[string]string{
		"4.2.0 <u17@stadt.example> Internal error occurred. Refer to server log for more information.": "451 4.2.0 … Internal error occurred. Refer to server log for more information.",
		"5.1.1 <a@b.de> <c@d.de> User doesn't exist: a@b.de":                                           "451 5.1.1 … User doesn't exist: …",
		"queued as 4XyZ12abCD34":                               "451 queued as …",
		"[2026-11-22 23:44:24] try later (session 7381920044)": "451 … try later (session …",
		"4.3.2 System not accepting messages":                  "451 4.3.2 System not accepting messages",
	} {
		if got := gist(&doppelboden.Outcome{Phase: "dot", Reply: doppelboden.Reply{Code: 451, Text: text}}); got != want {
			t.Errorf("%q is kept as %q, want %q", text, got, want)
		}
	}
	long := make([]byte, 900)
	for i := range long {
		long[i] = "word "[i%5]
	}
	if got := gist(&doppelboden.Outcome{Reply: doppelboden.Reply{Code: 451, Text: string(long)}}); len(got) > maxGist {
		t.Errorf("%d bytes of a long reply are kept", len(got))
	}
}
