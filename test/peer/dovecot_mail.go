package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Scripts that every mail goes through before those of the users.
const (
	onVacation = "require \"vacation\";\nvacation :days 1 :subject \"Nicht im Haus\" \"Ich bin nicht da.\";\n"
	forgets    = "discard;\nstop;\n"
)

// keepReply is run instead of sendmail: it keeps what vacation says, the recipient first.
const keepReply = `#!/bin/sh
for to; do :; done
f=$(mktemp "$0.d/XXXXXXXXXX.tmp") && { echo "$to"; cat; } >"$f" && mv "$f" "${f%.tmp}.reply"
`

// writeScripts writes the script for all mails, and where its answers go.
func (o Dovecot) writeScripts() error {
	text := onVacation
	if o.Forgets {
		text = forgets
	}
	reply, scripts := filepath.Join(o.Dir, "reply"), filepath.Join(o.Dir, "sieve")
	var all []error
	for _, dir := range []string{scripts, reply + ".d"} {
		all = append(all, os.MkdirAll(dir, 0o755), os.Chown(dir, 65534, 65534))
	}
	return errors.Join(append(all, os.WriteFile(filepath.Join(scripts, "before.sieve"), []byte(text), 0o644),
		os.WriteFile(reply, []byte(keepReply), 0o755))...)
}

// Replies returns the recipients of what vacation has answered so far, in no order.
func (d *DovecotServer) Replies() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(d.opts.Dir, "reply.d", "*.reply"))
	if err != nil {
		return nil, fmt.Errorf("list replies: %w", err)
	}
	var to []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read reply: %w", err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		to = append(to, strings.Trim(line, "<>"))
	}
	return to, nil
}

// Backup copies all mailboxes of a halted Dovecot into a folder, which must not exist.
func (o Dovecot) Backup(dir string) error {
	_, err := run(context.Background(), "/bin/cp", "-a", filepath.Join(o.Dir, "mail"), dir)
	return err
}

// Restore replaces all mailboxes of a halted Dovecot by those of a backup. What vacation
// remembers of its answers goes back as well.
func (o Dovecot) Restore(dir string) error {
	if err := os.RemoveAll(filepath.Join(o.Dir, "mail")); err != nil {
		return fmt.Errorf("remove mailboxes: %w", err)
	}
	_, err := run(context.Background(), "/bin/cp", "-a", dir, filepath.Join(o.Dir, "mail"))
	return err
}

// Lose removes mailboxes of a halted Dovecot, with all that lies in them. They come into
// being again, empty, when mail is delivered or somebody logs in.
func (o Dovecot) Lose(users ...string) error {
	for _, u := range users {
		if err := os.RemoveAll(o.home(u)); err != nil {
			return fmt.Errorf("remove mailbox: %w", err)
		}
	}
	return nil
}
