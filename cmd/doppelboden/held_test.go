package main

import (
	"bytes"
	"strings"
	"testing"

	"doppelboden/control"
	"doppelboden/queue"
)

// TestThePreviewOfAPartOfAGroupNamesTheCommandForThatPart: who pastes it must not decide about
// the whole group.
func TestThePreviewOfAPartOfAGroupNamesTheCommandForThatPart(t *testing.T) {
	p := quietProgram("C")
	var out bytes.Buffer
	p.out = &out
	p.preview(control.Decision{Verb: queue.Discard, Why: "it's spam",
		Choice: control.Choice{Group: "abc", Tenant: "stadt", Route: "stadt/alt", To: "anna@stadt.example"}}, &control.Preview{Confirm: 3})
	want := `doppelboden queue discard --group abc --tenant 'stadt' --route 'stadt/alt' --to 'anna@stadt.example' --why 'it'\''s spam' --yes 3`
	if !strings.Contains(out.String(), want) {
		t.Errorf("the preview says\n%s\nwant\n%s", out.String(), want)
	}
}
