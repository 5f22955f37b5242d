package doppelboden

import "testing"

func TestSendersAreToldOnTheOccasionsThatTheyAskedFor(t *testing.T) {
	for _, c := range []struct {
		notify                  string
		success, failure, delay bool
	}{
		{"", false, true, true},
		{"NEVER", false, false, false},
		{"never", false, false, false},
		{"SUCCESS", true, false, false},
		{"FAILURE", false, true, false},
		{"failure,Delay", false, true, true},
		{"SUCCESS,FAILURE,DELAY", true, true, true},
		{"SUCCESSFUL", false, false, false},
	} {
		for on, want := range map[Notice]bool{OnSuccess: c.success, OnFailure: c.failure, OnDelay: c.delay} {
			if got := Notify(c.notify, on); got != want {
				t.Errorf("NOTIFY=%q on %s: %v, want %v", c.notify, on, got, want)
			}
		}
	}
}
