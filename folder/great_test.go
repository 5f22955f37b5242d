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
	w.room.great.Add(greatAtOnce) // and one more than may
	look("without memory", false)
	w.room.great.Add(-greatAtOnce)
	for _, m := range open {
		m.Free()
		m.Free() // a second time does nothing
	}
	if left := w.room.great.Load(); left != 0 {
		t.Errorf("after all mails were freed %d bytes are still taken", left)
	}
	look("afterwards", true)
}
