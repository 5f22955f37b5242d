package postgres

import (
	"context"
	"fmt"

	"doppelboden"
)

// oldest is the oldest server that will do, as server_version_num has it.
const oldest = 150000

// admit refuses a server that does not keep what it commits, or not as it is given.
func (s *Store) admit(ctx context.Context, c *conn) error {
	r, err := c.one(ctx, `SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding'),
		current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')`)
	if err != nil {
		return fmt.Errorf("read settings of the server: %w", err)
	}
	no := func(format string, args ...any) error {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf(format, args...)}
	}
	if version := asInt(r[0]); version < oldest {
		return no("the database server is PostgreSQL %d, wanted %d or newer", version/10000, oldest/10000)
	}
	if encoding := asText(r[1]); encoding != "UTF8" {
		return no("the database has the encoding %s, wanted UTF8", encoding)
	}
	if s.opts.Unsafe {
		return nil
	}
	for i, name := range []string{"fsync", "full_page_writes"} {
		if value := asText(r[2+i]); value != "on" {
			return no("the database server has %s = %s, with which it loses what it has committed; wanted on", name, value)
		}
	}
	// off answers before anything is on a disk; local and remote_write do not wait for
	// the standby's.
	switch value := asText(r[4]); value {
	case "on", "remote_apply":
	default:
		return no("the database has synchronous_commit = %s, with which a commit can be lost; wanted on or remote_apply", value)
	}
	return nil
}
