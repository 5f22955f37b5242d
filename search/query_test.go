package search

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

func TestQueriesAreReadAsPeopleTypeThem(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	now := time.Date(2026, 11, 23, 15, 4, 0, 0, berlin)
	date := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, berlin) }
	for text, want := range map[string]Query{
		"":                           {},
		"  Bauantrag  Müller ":       {Words: []string{"Bauantrag", "Müller"}},
		`"zum 1. Mai" frist`:         {Phrases: []string{"zum 1. Mai"}, Words: []string{"frist"}},
		`„zum 1. Mai“«x»`:            {Phrases: []string{"zum 1. Mai", "x"}},
		`"ohne Ende`:                 {Phrases: []string{"ohne Ende"}},
		`von:muster An:"Frau Anna"`:  {From: []string{"muster"}, To: []string{"Frau Anna"}},
		"from:a to:b subject:c":      {From: []string{"a"}, To: []string{"b"}, Subject: []string{"c"}},
		"betreff:x hat:anhang":       {Subject: []string{"x"}, Attachment: true},
		"has:attachment":             {Attachment: true},
		"has:nothing":                {Words: []string{"has:nothing"}},
		"seit:1.11.2026":             {Since: date(2026, 11, 1)},
		"since:2026-11-01":           {Since: date(2026, 11, 1)},
		"ab:1.11.26":                 {Since: date(2026, 11, 1)},
		"seit:1.12.":                 {Since: date(2025, 12, 1)},
		"seit:1.11":                  {Since: date(2026, 11, 1)},
		"seit:gestern vor:heute":     {Since: date(2026, 11, 22), Before: date(2026, 11, 23)},
		"bis:heute":                  {Before: date(2026, 11, 24)},
		"since:7d":                   {Since: date(2026, 11, 16)},
		`seit:"2 Wochen"`:            {Since: date(2026, 11, 9)},
		"seit:2026-11":               {Since: date(2026, 11, 1)},
		"vor:2026":                   {Before: date(2026, 1, 1)},
		"seit:ostern":                {Words: []string{"seit:ostern"}},
		"seit:99.99.2026":            {Words: []string{"seit:99.99.2026"}},
		"von:":                       {},
		"an: foo":                    {Words: []string{"foo"}},
		"AW: Antrag":                 {Words: []string{"AW:", "Antrag"}},
		"https://x.de/a?b=c":         {Words: []string{"https://x.de/a?b=c"}},
		"ist:ungelesen":              {Clear: doppelboden.Seen},
		"is:flagged ist:beantwortet": {Set: doppelboden.Flagged | doppelboden.Answered},
		"antrag*":                    {Words: []string{"antrag"}},
		`""`:                         {},
		"::":                         {Words: []string{"::"}},
	} {
		if got := ParseQuery(text, now); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%q: got %+v, wanted %+v", text, got, want)
		}
	}
	if n := len(ParseQuery(strings.Repeat("wort ", 10_000), now).Words); n != maxTerms {
		t.Errorf("10,000 words became %d, wanted %d", n, maxTerms)
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add(`von:"a b" seit:1.1. "x`)
	f.Add("\xff\xfe:„\u202e“ vor:7t")
	f.Fuzz(func(t *testing.T, text string) {
		q := ParseQuery(text, day)
		m := newMatcher(&q)
		m.matches(&content{body: fold(nil, text)})
	})
}
