package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"doppelboden/backup"
	"doppelboden/city"
)

// Backups backs the node up; the node's app joins package backup with the database, the
// keys and the tallies.
type Backups interface {
	// Backup is backup.Make; Progress of o may be nil.
	Backup(ctx context.Context, o backup.Options) (*backup.Made, error)
}

// A BackupOrder says how a backup is made; see backup.Options.
type BackupOrder struct {
	Dir        string `json:"dir"` // as the node sees it, with its whole path
	Passphrase string `json:"passphrase,omitempty"`
	PlainKeys  bool   `json:"plain_keys,omitempty"`
}

// Backup has the node back itself up. It ends when ctx does.
func (c *Client) Backup(ctx context.Context, o BackupOrder) (backup.Made, error) {
	var made backup.Made
	body, err := json.Marshal(o)
	if err != nil {
		return made, fmt.Errorf("make the request: %w", err)
	}
	err = c.ask(ctx, "POST", "/backup", url.Values{}, body, nil, &made)
	return made, err
}

func (d *Desk) backup(ctx context.Context, c *call) (any, error) {
	var o BackupOrder
	if err := json.NewDecoder(c.body).Decode(&o); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	made, err := d.opts.Backups.Backup(ctx, backup.Options{Dir: o.Dir, Passphrase: o.Passphrase, PlainKeys: o.PlainKeys,
		Progress: func(step string, done int64) { c.progress(Progress{Step: step, Done: done}) }})
	if err != nil {
		return nil, Refused(err)
	}
	d.opts.Log.Info("backed up", "folder", o.Dir, "by", c.by, "bytes", made.Manifest.Size(), "copied", made.Copied, "keys", made.Manifest.Keys)
	return made, nil
}

// Refused gives a refusal of package backup to people as one of ours; any other error stays
// as it is.
func Refused(err error) error {
	var no *backup.Refusal
	if !errors.As(err, &no) {
		return err
	}
	return &Refusal{city.Text{Key: no.Key, Args: no.Args}}
}
