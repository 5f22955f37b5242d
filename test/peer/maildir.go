package peer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"
)

// readMaildir returns the mails of a Maildir, new and seen, in the order of their file
// names, which begin with the time of delivery. A Maildir that does not exist is empty.
func readMaildir(dir string) ([][]byte, error) {
	var paths []string
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read Maildir: %w", err)
		}
		for _, e := range entries {
			paths = append(paths, filepath.Join(dir, sub, e.Name()))
		}
	}
	sort.Slice(paths, func(i, j int) bool { return filepath.Base(paths[i]) < filepath.Base(paths[j]) })
	var mails [][]byte
	for _, path := range paths {
		mail, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read mail: %w", err)
		}
		mails = append(mails, mail)
	}
	return mails, nil
}

// A Mailer is a peer whose mailboxes can be read.
type Mailer interface {
	Mails(mailbox string) ([][]byte, error)
}

// WaitMails waits until a mailbox holds at least n mails and returns them all. The
// error says how many there were when the time was over.
func WaitMails(m Mailer, mailbox string, n int, limit time.Duration) ([][]byte, error) {
	var mails [][]byte
	err := poll(time.Now().Add(limit), func() (bool, error) {
		var err error
		mails, err = m.Mails(mailbox)
		return len(mails) >= n, err
	})
	if err != nil {
		return mails, fmt.Errorf("wait for %d mails in %s, got %d: %w", n, mailbox, len(mails), err)
	}
	return mails, nil
}
