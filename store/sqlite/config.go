package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"doppelboden/store"
)

// configColumns are what readConfig reads.
const configColumns = "version, by, at, changes, again, text"

const newestConfig = "SELECT " + configColumns + " FROM config_version ORDER BY version DESC LIMIT 1"

// PutConfig stores a text as the next version, unless it is the newest one's.
func (s *Store) PutConfig(ctx context.Context, v store.ConfigVersion) (version int64, err error) {
	err = s.write(ctx, func(t *tx) error {
		row, err := t.c.one(background, newestConfig)
		switch newest := readConfig(row); {
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
		_, err = t.c.exec(background, "INSERT INTO config_version (version, text, by, at, changes, again) VALUES (?, ?, ?, ?, ?, ?)",
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
func readConfig(row []driver.Value) store.ConfigVersion {
	if len(row) == 0 {
		return store.ConfigVersion{}
	}
	v := store.ConfigVersion{Version: asInt(row[0]), By: asText(row[1]), At: asTime(row[2]), Changes: asBlob(row[3]), Again: asInt(row[4])}
	if len(row) > 5 {
		v.Text = asBlob(row[5])
	}
	return v
}

// Config returns a version; 0 asks for the newest.
func (s *Store) Config(ctx context.Context, version int64) (v store.ConfigVersion, err error) {
	text, args := newestConfig, []driver.Value(nil)
	if version != 0 {
		text, args = "SELECT "+configColumns+" FROM config_version WHERE version = ?", []driver.Value{version}
	}
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, text, args...)
		if errors.Is(err, errNoRow) {
			return notFound("version of the configuration")
		}
		if err == nil {
			v = readConfig(row)
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
			return c.query(ctx, func(row []driver.Value) error {
				page = append(page, readConfig(row))
				last = asInt(row[0])
				return nil
			}, "SELECT version, by, at, changes, again FROM config_version WHERE version < ? ORDER BY version DESC LIMIT ?", last, int64(pageRows))
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
		pinned, err := t.c.exec(background, `UPDATE node SET config = ?1 WHERE name = ?2
			AND EXISTS (SELECT 1 FROM config_version WHERE version = ?1)`, version, lease.Node)
		if err != nil {
			return fmt.Errorf("pin configuration: %w", err)
		}
		if pinned == 0 {
			return &refusal{notFound("version of the configuration")}
		}
		return nil
	})
}

// Pinned returns the version that a node ran last.
func (s *Store) Pinned(ctx context.Context, node string) (version int64, err error) {
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT config FROM node WHERE name = ?", node)
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err == nil {
			version = asInt(row[0])
		}
		return err
	})
	return version, err
}
