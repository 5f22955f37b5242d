package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"doppelboden/store"
)

const newestConfig = "SELECT version, text, by, at FROM config_version ORDER BY version DESC LIMIT 1"

// PutConfig stores text as the next version, unless it is the newest one's.
func (s *Store) PutConfig(ctx context.Context, text []byte, by string, at time.Time) (version int64, err error) {
	err = s.write(ctx, func(t *tx) error {
		row, err := t.c.one(background, newestConfig)
		switch {
		case errors.Is(err, errNoRow):
			version = 1
		case err != nil:
			return fmt.Errorf("find newest configuration: %w", err)
		case bytes.Equal(asBlob(row[1]), text):
			version = asInt(row[0])
			return nil
		default:
			version = asInt(row[0]) + 1
		}
		_, err = t.c.exec(background, "INSERT INTO config_version (version, text, by, at) VALUES (?, ?, ?, ?)",
			version, append([]byte{}, text...), by, micros(at))
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

// Config returns a version; 0 asks for the newest.
func (s *Store) Config(ctx context.Context, version int64) (v store.ConfigVersion, err error) {
	text, args := newestConfig, []driver.Value(nil)
	if version != 0 {
		text, args = "SELECT version, text, by, at FROM config_version WHERE version = ?", []driver.Value{version}
	}
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, text, args...)
		if errors.Is(err, errNoRow) {
			return notFound("version of the configuration")
		}
		if err == nil {
			v = store.ConfigVersion{Version: asInt(row[0]), Text: asBlob(row[1]), By: asText(row[2]), At: asTime(row[3])}
		}
		return err
	})
	return v, err
}
