package mailbox

import (
	"testing"
	"time"

	"doppelboden"
)

// movesHome moves a mail from a folder into the inbox, whose name here is "".
func movesHome(t *testing.T, m *IMAP) {
	s, err := m.Change(t.Context(), owner("amt"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Make(t.Context(), "Akten/Heim"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enter(t.Context(), "Akten/Heim"); err != nil {
		t.Fatal(err)
	}
	id := ids.New(time.Now())
	uids, err := s.Append(t.Context(), []Mail{asMail(trace(id, "back\r\n"), time.Now())})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Move(t.Context(), uids, ""); err != nil {
		t.Fatalf("move to the inbox: %v", err)
	}
	for folder, want := range map[string]int{"Akten/Heim": 0, "": 1} {
		if _, err := s.Enter(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
		found, err := s.Find(t.Context(), []doppelboden.ID{id})
		if err != nil || len(found) != want {
			t.Errorf("in folder %q the mail lies %d times, %v; want %d", folder, len(found), err, want)
		}
	}
}
