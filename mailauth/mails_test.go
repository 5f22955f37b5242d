package mailauth

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"doppelboden/test/peer"
)

// mailsDir holds mails as people send them, where this machine has them.
const mailsDir = "../../shared/mails"

func TestMailsAsPeopleSendThemGetResultsThatCanBeRead(t *testing.T) {
	if _, err := os.Stat(mailsDir); err != nil {
		t.Skip("no collection of mails on this machine: ", err)
	}
	server := peer.For(t, peer.DNS{})
	c := newChecker(t, server.Addr(), Refuse)
	count, authored := 0, 0
	err := filepath.WalkDir(mailsDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".eml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		mail := bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		in := incoming(t, "192.0.2.1", "x.example", "a@b.example", mail)
		found, err := c.Check(t.Context(), in)
		id, results, ok := Parse(found.Prefix)
		if err != nil || !ok || id != us || len(results) < 4 {
			t.Errorf("%s: %v\n%s", path, err, found.Prefix)
		}
		count++
		if _, ok := authors(fields(in.Header)); ok {
			authored++
		}
		return nil
	})
	if err != nil || count == 0 {
		t.Fatalf("%d mails, %v", count, err)
	}
	t.Logf("%d mails, %d with a From that can be read", count, authored)
	if authored*10 < count*8 {
		t.Errorf("only %d of %d mails have a From that can be read", authored, count)
	}
}
