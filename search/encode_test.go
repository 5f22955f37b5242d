package search

import (
	"reflect"
	"testing"
	"time"

	"doppelboden/letter"
)

func TestASummaryIsReadAsItWasWritten(t *testing.T) {
	for _, s := range []letter.Summary{
		{},
		{From: []letter.Person{{Name: "Jürgen", Address: "j@x"}, {}}, Subject: "x", Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", -9000)).Local(),
			MessageID: "1@x", InReplyTo: []string{"a", ""}, References: []string{"b"}, Attachments: 3, Snippet: "Hallo", Kind: letter.Report},
		{Date: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}, {Date: time.Unix(-1, 0).UTC()},
	} {
		got, err := decodeSummary(encodeSummary(&s))
		if !got.Date.Equal(s.Date) {
			t.Errorf("date %v became %v", s.Date, got.Date)
		}
		got.Date, s.Date = time.Time{}, time.Time{}
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%+v became %+v, %v", s, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	s := letter.Summary{From: []letter.Person{{Name: "a", Address: "b"}}, Subject: "x", Date: day, References: []string{"1"}}
	f.Add(encodeSummary(&s))
	f.Add((&content{attachments: 2, from: []byte("a"), body: []byte("b")}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeSummary(b); err == nil {
			if again, err := decodeSummary(encodeSummary(&s)); err != nil || again.Subject != s.Subject || len(again.References) != len(s.References) {
				t.Errorf("%q: %+v became %+v, %v", b, s, again, err)
			}
		}
		if c, _, err := decodeContent(b, nil); err == nil && len(c.body)+len(c.header) > decodedLimit {
			t.Errorf("%q opened to %d bytes", b, len(c.body))
		}
	})
}
