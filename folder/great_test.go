package folder

import (
	"io"
	"strings"
	"testing"

	"doppelboden/store"
)

// greatMail is a mail that is not kept in memory unless somebody frees it.
func greatMail(subject string) string {
	return "Subject: " + subject + "\r\n\r\n" + strings.Repeat(strings.Repeat("0123456789", 7)+"\r\n", inMemory/70)
}

func TestGreatMailsAreReadOnceWhileThereIsMemoryAndFromTheDiskOtherwise(t *testing.T) {
	w := openTown(t)
	b := w.box()
	texts := map[uint32]string{}
	for i, text := range []string{greatMail("a"), greatMail("b"), "Subject: c\r\n\r\nklein\r\n"} {
		w.arrive("anna@stadt.example", text)
		texts[uint32(i+1)] = text
	}
	w.list(b, store.UseInbox)
	var open []*Mail
	look := func(what string, great bool) {
		t.Helper()
		err := b.Several(ctx, 1, []uint32{1, 2, 3}, func(uid uint32, m *Mail, err error) error {
			if err != nil {
				return err
			}
			open = append(open, m)
			r, err := m.Reader()
			if err != nil {
				return err
			}
			defer r.Close()
			text, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			if !strings.HasSuffix(string(text), texts[uid]) || m.Size != int64(len(text)) {
				t.Errorf("%s, mail %d: read %d bytes, said %d, of a text of %d", what, uid, len(text), m.Size, len(texts[uid]))
			}
			if in := m.Text() != nil; in != (great || uid == 3) {
				t.Errorf("%s, mail %d: in memory: %v", what, uid, in)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	look("with memory", true)
	look("while others hold theirs", true)
	lent := &w.room.great
	hold := func(by string, n int64) (free func()) {
		t.Helper()
		if !lent.take(by, n) || lent.take(by, greatOfOne) {
			t.Fatalf("%s asks for %d bytes of memory, and for a share more: wanted the first alone", by, n)
		}
		return func() { lent.give(by, n) }
	}
	others := []func(){hold("person:2", greatOfOne)}
	look("while somebody else has his share", true)
	for _, by := range []string{"person:3", "person:4", "person:5"} {
		others = append(others, hold(by, greatOfOne))
	}
	others = append(others, hold("person:6", greatAtOnce-lent.all))
	look("without memory", false)
	for _, free := range others {
		free()
	}
	free := hold(b.by, greatOfOne-lent.of[b.by])
	look("while she has her share", false)
	free()
	for _, m := range open {
		m.Free()
		m.Free() // a second time does nothing
	}
	if left := w.room.great.all; left != 0 || len(w.room.great.of) != 0 {
		t.Errorf("after all mails were freed %d bytes are still taken, by person %v", left, w.room.great.of)
	}
	look("afterwards", true)
}
