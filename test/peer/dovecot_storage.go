package peer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// LoseStorage takes the folders of some users away, as a volume does that is no longer
// mounted: Dovecot knows them and answers their mail with a 4xx. It works on a running one.
func (d *DovecotServer) LoseStorage(users ...string) error {
	return d.storage(0, 0o000, users)
}

// FindStorage gives them back.
func (d *DovecotServer) FindStorage(users ...string) error {
	return d.storage(65534, 0o755, users)
}

// storage makes folders belong to a user, with a mode.
func (d *DovecotServer) storage(owner int, mode os.FileMode, users []string) error {
	for _, u := range users {
		home := d.opts.home(u)
		err := errors.Join(os.MkdirAll(home, 0o755), os.Chown(home, owner, owner), os.Chmod(home, mode))
		if err != nil {
			return fmt.Errorf("change the folder of %s: %w", u, err)
		}
	}
	return nil
}

// An Arrival is a mail in a mailbox.
type Arrival struct {
	At   time.Time // when Dovecot wrote it
	Mail []byte
}

// Arrivals returns the mails in the Inbox of a user with their times, in the order in which
// they came.
func (d *DovecotServer) Arrivals(mailbox string) ([]Arrival, error) {
	dir := filepath.Join(d.opts.home(mailbox), "Maildir")
	var all []Arrival
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read Maildir: %w", err)
		}
		for _, e := range entries {
			at, err := deliveredAt(e.Name())
			if err != nil {
				return nil, err
			}
			mail, err := os.ReadFile(filepath.Join(dir, sub, e.Name()))
			if err != nil {
				return nil, fmt.Errorf("read mail: %w", err)
			}
			all = append(all, Arrival{At: at, Mail: mail})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].At.Before(all[j].At) })
	return all, nil
}

// deliveredAt reads the time in the name of a file of a Maildir: seconds, and microseconds
// behind an M.
func deliveredAt(name string) (time.Time, error) {
	seconds, rest, _ := strings.Cut(name, ".")
	micros, _, _ := strings.Cut(strings.TrimPrefix(rest, "M"), "P")
	s, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time of mail %q: %w", name, err)
	}
	us, err := strconv.ParseInt(micros, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time of mail %q: %w", name, err)
	}
	return time.UnixMicro(s*1_000_000 + us), nil
}
