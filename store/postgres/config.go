package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// configColumns are what readConfig reads.
const configColumns = "version, by, at, changes, again, text"

const newestConfig = "SELECT " + configColumns + " FROM config_version ORDER BY version DESC LIMIT 1"

// PutConfig stores a text as the next version, unless it is the newest one's.
func (s *Store) PutConfig(ctx context.Context, v store.ConfigVersion) (version int64, err error) {
	err = s.write(ctx, func(t *tx) error {
		// No other node gives a number until the commit.
		if _, err := t.exec("LOCK TABLE config_version IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return fmt.Errorf("lock configurations: %w", err)
		}
		r, err := t.one(newestConfig)
		switch newest := readConfig(r); {
		case errors.Is(err, errNoRow):
			version = 1
		case err != nil:
			return fmt.Errorf("find newest configuration: %w", err)
		case bytes.Equal(newest.Text, v.Text):
			version = newest.Version
			return nil
		default:
			version = newest.Version + 1
		}
		_, err = t.exec("INSERT INTO config_version (version, text, by, at, changes, again) VALUES ($1, $2, $3, $4, $5, $6)",
			version, append([]byte{}, v.Text...), v.By, micros(v.At), blob(v.Changes), v.Again)
		if err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// readConfig reads configColumns, of which the text may be missing.
func readConfig(r row) store.ConfigVersion {
	if len(r) == 0 {
		return store.ConfigVersion{}
	}
	v := store.ConfigVersion{Version: asInt(r[0]), By: asText(r[1]), At: asTime(r[2]), Changes: asBlob(r[3]), Again: asInt(r[4])}
	if len(r) > 5 {
		v.Text = asBlob(r[5])
	}
	return v
}

// Config returns a version; 0 asks for the newest.
func (s *Store) Config(ctx context.Context, version int64) (v store.ConfigVersion, err error) {
	text, args := newestConfig, []any(nil)
	if version != 0 {
		text, args = "SELECT "+configColumns+" FROM config_version WHERE version = $1", []any{version}
	}
	err = s.read(ctx, func(c *conn) error {
		r, err := c.one(ctx, text, args...)
		if errors.Is(err, errNoRow) {
			return notFound("version of the configuration")
		}
		if err == nil {
			v = readConfig(r)
		}
		return err
	})
	return v, err
}

// Configs yields all versions without their texts, the newest first.
func (s *Store) Configs(ctx context.Context, yield func(store.ConfigVersion) error) error {
	last := int64(1<<63 - 1)
	return walk(func() (page []store.ConfigVersion, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				page = append(page, readConfig(r))
				last = asInt(r[0])
				return nil
			}, "SELECT version, by, at, changes, again FROM config_version WHERE version < $1 ORDER BY version DESC LIMIT $2", last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// Pin notes which version a node runs.
func (s *Store) Pin(ctx context.Context, lease store.Lease, version int64) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		pinned, err := t.exec(`UPDATE node SET config = $1 WHERE name = $2
			AND EXISTS (SELECT FROM config_version WHERE version = $1)`, version, lease.Node)
		if err != nil {
			return fmt.Errorf("pin configuration: %w", err)
		}
		if pinned == 0 {
			return refuse(doppelboden.NotFound, "there is no such version of the configuration")
		}
		return nil
	})
}

// Pinned returns the version that a node ran last.
func (s *Store) Pinned(ctx context.Context, node string) (version int64, err error) {
	err = s.read(ctx, func(c *conn) error {
		r, err := c.one(ctx, "SELECT config FROM node WHERE name = $1", node)
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err == nil {
			version = asInt(r[0])
		}
		return err
	})
	return version, err
}
