package courier_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/sink"
)

// TestBrokenTCPConnectionsAreInDoubtOnlyAfterTheDot plays what a bubble without a
// network cannot: RST that overtakes what was said before it, and a kernel that takes
// a mail which nobody reads. Which phase is named may then vary; doubt may not.
func TestBrokenTCPConnectionsAreInDoubtOnlyAfterTheDot(t *testing.T) {
	small, big := "x\r\n", strings.Repeat("0123456\r\n", 1<<20)
	for _, lmtp := range []bool{false, true} {
		for _, action := range []string{"drop", "reset"} {
			for _, c := range []struct {
				phase, text string
				doubt       bool
			}{
				{"connect", small, false}, {"greeting", small, false}, {"helo", small, false}, {"mail", small, false},
				{"rcpt", small, false}, {"data", small, false}, {"body", big, false}, {"dot", small, true},
			} {
				name := fmt.Sprintf("lmtp=%v/%s/%s/%d", lmtp, action, c.phase, len(c.text))
				s := startSink(t, sink.Options{Script: script(t, fmt.Sprintf("[[rule]]\nphase = %q\naction = %q\ntimes = 1", c.phase, action))})
				store := bodies{}
				a := newAgent(t, courier.Options{Bodies: store}, lmtp, s.Addr())
				j := store.message("m", c.text, "a@city.example", "b@city.example")
				for _, o := range a.Hand(context.Background(), j) {
					if o.Verdict != doppelboden.Later || o.InDoubt != c.doubt {
						t.Errorf("%s: got %s: %q, want later, in doubt %v", name, brief(o), o.Reply.Text, c.doubt)
					}
				}
				j = store.message("m", small, "a@city.example", "b@city.example")
				for _, o := range a.Hand(context.Background(), j) {
					if o.Verdict != doppelboden.Took {
						t.Errorf("%s: the server is well again, but got %s: %q", name, brief(o), o.Reply.Text)
					}
				}
			}
		}
	}
}

// TestWhatTheServerSaidBeforeItClosedIsReported plays a server that gives up in the
// middle of a mail and says why.
func TestWhatTheServerSaidBeforeItClosedIsReported(t *testing.T) {
	for reply, want := range map[string]string{
		"552 5.3.4 too large": "0 later about message at data 552 5.3.4",
		"421 4.3.2 shutdown":  "0 later about route at data 421 4.3.2",
	} {
		s := startSink(t, sink.Options{Script: script(t, fmt.Sprintf("[[rule]]\nphase = \"body\"\nafter = 1000\naction = \"drop\"\nreply = %q", reply))})
		store := bodies{}
		a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
		hand(t, a, store.message("m", strings.Repeat("0123456\r\n", 1<<20), "a@city.example"), want)
	}
}
