package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A Laid is a mail that lies in a mailbox of a Dovecot, as if it had come there long ago.
type Laid struct {
	Folder string    // empty: the Inbox
	At     time.Time // when it came: its INTERNALDATE
	Seen   bool
	Text   string // lines end in LF
}

// Lay puts mails into a mailbox without Dovecot, as tools that move mailboxes do: thousands of
// mailboxes are filled in seconds. It is for mailboxes at which nobody has looked yet.
func (d *DovecotServer) Lay(mailbox string, mails ...Laid) error {
	home := d.opts.home(mailbox)
	dirs := []string{home, filepath.Join(home, "Maildir")}
	for _, m := range mails {
		folder := filepath.Join(home, "Maildir")
		if m.Folder != "" {
			folder = filepath.Join(folder, "."+m.Folder)
			dirs = append(dirs, folder)
		}
		for _, sub := range []string{"cur", "new", "tmp"} {
			dirs = append(dirs, filepath.Join(folder, sub))
		}
	}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
			return fmt.Errorf("make the folder of a mailbox: %w", err)
		}
		if err := os.Chown(dir, 65534, 65534); err != nil {
			return fmt.Errorf("give away the folder of a mailbox: %w", err)
		}
	}
	for i, m := range mails {
		if err := d.lay(home, i, m); err != nil {
			return fmt.Errorf("lay a mail: %w", err)
		}
	}
	return nil
}

// lay writes one mail. Dovecot takes the time of the file for the time at which it came.
func (d *DovecotServer) lay(home string, number int, m Laid) error {
	folder := filepath.Join(home, "Maildir")
	if m.Folder != "" {
		folder = filepath.Join(folder, "."+m.Folder)
	}
	flags := ""
	if m.Seen {
		flags = "S"
	}
	path := filepath.Join(folder, "cur", fmt.Sprintf("%d.M%d.laid:2,%s", m.At.Unix(), number, flags))
	if err := os.WriteFile(path, []byte(m.Text), 0o600); err != nil {
		return err
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		return err
	}
	return os.Chtimes(path, m.At, m.At)
}
