package tally

import (
	"strings"
	"testing"
)

func TestQueueIDsAreFoundInRepliesOfKnownServers(t *testing.T) {
	for text, want := range map[string]string{
		"2.0.0 Ok: queued as 4XyZ12abcDz1":                                       "4XyZ12abcDz1",
		"Ok: queued as 9A1B2C3D4E":                                               "9A1B2C3D4E",
		"2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 0C9B21": "0C9B21",
		"OK id=1pXyZ0-0001Ab-2C":                                                 "1pXyZ0-0001Ab-2C",
		"id=1pXyZ0-0001Ab-2C":                                                    "1pXyZ0-0001Ab-2C",
		"2.6.0 <m1@stadt.example> [InternalId=55834574848, Hostname=EX1.stadt.example] 1234 bytes in 0.1, 9,5 KB/sec Queued mail for delivery": "55834574848",
		"2.0.0 <u@stadt.example> 7kBmFvVjbGXqFgAA1nR5aQ Saved":                                                                                 "7kBmFvVjbGXqFgAA1nR5aQ",
		"2.0.0 <u@stadt.example> 7kBmFvVjbGXqFgAA1nR5aQ:2 Saved":                                                                               "7kBmFvVjbGXqFgAA1nR5aQ:2",
		"2.0.0 4AMHa3bQ012345 Message accepted for delivery":                                                                                   "4AMHa3bQ012345",
		"2.1.5 Ok SESSIONID=<cyrus-1700000000-12345-1>":                                                                                        "cyrus-1700000000-12345-1",
		"2.0.0 OK  1700000000 5b1f17b1804b1-40a4d3e2f12si123456789 - gsmtp":                                                                    "5b1f17b1804b1-40a4d3e2f12si123456789",
		"ok 1700000000 qp 12345":         "12345",
		"2.0.0 Ok: queued as <X1>.":      "X1",
		"":                               "",
		"2.0.0 Ok":                       "",
		"2.0.0 Saved":                    "",
		"Mail for u@stadt.example Saved": "",
		"2.0.0 Savedness of things":      "",
		"Ok: queued as " + strings.Repeat("A", 65): "",
		"Ok: queued as " + strings.Repeat("A", 64): strings.Repeat("A", 64),
		"Ok: queued as \x1b[31mred":                "",
		"Ok: queued as a\x00b":                     "",
		"Ok: queued as größe":                      "",
		"Ok: queued as ":                           "",
		"Ok: queued as u@stadt.example":            "",
		strings.Repeat("İ", 10) + " queued as ABC": "",
	} {
		if got := queueID(text); got != want {
			t.Errorf("%q: got %q, wanted %q", text, got, want)
		}
	}
}
