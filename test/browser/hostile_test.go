package browser

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample returns some HTML mails of the collection.
func sample(t *testing.T) (files []string) {
	t.Helper()
	root := "../../../shared/mails"
	if _, err := os.Stat(root); err != nil {
		t.Skip("the collection of mails is not on this machine")
	}
	var all []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && bytes.Contains(bytes.ToLower(text), []byte("text/html")) && len(text) < 300_000 {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d HTML mails in the collection", len(all))
	}
	for i := 0; i < 10; i++ {
		files = append(files, all[i*len(all)/10])
	}
	return files
}

func TestMailsOfTheWorldRunNothing(t *testing.T) {
	files := sample(t)
	c, b := found(t), Start(t)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c.mail(ada, strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\r", "\n"))
	}
	b.Fresh(phoneWidth, phoneHeight, true)
	c.enrol(b, ada)
	b.Check("the list")
	base := b.URL()
	for uid := range len(files) {
		b.Open(base)
		b.Go(fmt.Sprintf(`a[href*="/f/1/%d."]`, uid+1))
		b.See("article.letter")
		if b.Count("iframe.mailframe") > 0 {
			b.do(Order{Do: "frame", At: "iframe.mailframe", Text: "body"})
			if n := b.do(Order{Do: "active"}).(float64); n != 0 {
				t.Errorf("%s: %v active elements in the frame", files[uid], n)
			}
		}
		b.Check(files[uid])
	}
}
