package imapd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/search"
)

func TestSearchesOpenOnlyMailsOfWhichNothingIsKnown(t *testing.T) {
	var asked []search.Probe
	var box *fakeBox
	r := start(t, func(o *Options) {
		o.Holds = func(_ context.Context, _ doppelboden.TenantID, ids []doppelboden.ID, probes []search.Probe, yield func(doppelboden.ID, []bool) error) error {
			asked = probes
			for _, id := range ids {
				if _, kept := box.bodies[id]; kept {
					continue // of the one that can be opened nothing is known
				}
				has := make([]bool, len(probes))
				for i, p := range probes {
					has[i] = p == search.Probe{Field: search.AnyText, Value: "Frist"} || p == search.Probe{Field: "subject", Value: "eins"}
				}
				if err := yield(id, has); err != nil {
					return err
				}
			}
			return nil
		}
	})
	for _, s := range []string{"Eins", "Zwei", "Frist", "Vier"} {
		r.put(t, 1, 1, 0, mail(s, s))
	}
	box = r.boxes[1]
	mails := box.find(1).mails
	mails[3].Scan = doppelboden.Malware
	for _, at := range []int{0, 1, 3} {
		delete(box.bodies, mails[at].Message)
	}
	c := r.rawIn(t, "anna@stadt.example")
	c.do("SELECT INBOX", "OK")
	for command, want := range map[string]string{
		"SEARCH TEXT Frist":                          "* SEARCH 1 2 3\n",
		"SEARCH BODY anderes":                        "* SEARCH\n",
		"SEARCH NOT TEXT Frist":                      "* SEARCH\n",
		"SEARCH SUBJECT eins":                        "* SEARCH 1 2\n",
		"SEARCH OR SUBJECT eins BODY frist":          "* SEARCH 1 2 3\n",
		"SEARCH 2:* TEXT Frist NOT SUBJECT nirgends": "* SEARCH 2 3\n",
		"SEARCH TEXT Frist SENTSINCE 1-Jan-2020":     "* SEARCH 3\n", // the date has to be read
	} {
		if got := c.do(command, "OK"); !strings.Contains(got, want) {
			t.Errorf("%s: want %q in:\n%s", command, want, got)
		}
	}
	asked = nil
	c.do("SEARCH UNSEEN", "OK")
	if asked != nil {
		t.Errorf("a search for a flag asked for %v", asked)
	}
	c.do("SEARCH OR TEXT a (TEXT a BODY b) NOT HEADER X-Y c", "OK")
	want := []search.Probe{{Field: "x-y", Value: "c"}, {Field: search.AnyText, Value: "a"}, {Field: search.AnyBody, Value: "b"}}
	if len(asked) != len(want) || slices.ContainsFunc(want, func(p search.Probe) bool { return !slices.Contains(asked, p) }) {
		t.Errorf("asked for %s, wanted each once: %s", fmt.Sprint(asked), fmt.Sprint(want))
	}
}
