package main

import (
	"fmt"
	"testing"
	"time"

	"doppelboden/handback"
	"doppelboden/say"
)

func TestManyDepartmentsInTheSameStateAreOneLineAndThoseInTroubleTheirOwn(t *testing.T) {
	p := &program{say: say.New("C")}
	now := time.Now()
	var groups []handback.Group
	for i := range 50 {
		groups = append(groups, handback.Group{Route: "stadt/a", Department: fmt.Sprintf("Amt %d", i), Mailboxes: 2, Deeds: 3, Since: now.Add(-time.Duration(i) * time.Minute)})
	}
	groups[7].Why = "mailboxes there are full"
	groups = append(groups, handback.Group{Route: "stadt/b", Department: "Feuerwehr", Mailboxes: 1, Deeds: 1, Since: now})
	got := p.gathered(groups)
	if len(got) != 3 {
		t.Fatalf("%d lines for 51 departments, want one for those that only wait, one for the one in trouble, one for the other route: %+v", len(got), got)
	}
	if all := got[0]; all.Department != "49 departments" || all.Mailboxes != 98 || all.Deeds != 147 || !all.Since.Equal(now.Add(-49*time.Minute)) {
		t.Errorf("together they are %+v, want 98 mailboxes with 147 changes, the oldest of 49 minutes ago", all)
	}
	if got[1].Department != "Amt 7" || got[2].Department != "Feuerwehr" {
		t.Errorf("the others are %+v and %+v, want Amt 7 and the Feuerwehr", got[1], got[2])
	}
}
