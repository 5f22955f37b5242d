package control

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
)

// A Database says how a node's working database is.
type Database struct {
	Engine string `json:"engine"` // "SQLite" or "PostgreSQL"

	Away time.Time `json:"away_since,omitzero"` // since when it does not do its work; zero: it does
	Dead bool      `json:"dead,omitempty"`      // it is not even there to be asked
	Why  string    `json:"why,omitempty"`       // what it said; hostile text

	// Landed is how many mails this machine has taken that the database does not have yet;
	// Aside of them it refused for their own sake.
	Landed int64 `json:"landed"`
	Aside  int   `json:"refused,omitempty"`

	// Mirror is of when what the doors know is, while the node works from the mirror on its
	// disk; zero: it has it from the database. Behind: it may lack a mailbox.
	Mirror time.Time `json:"mirror,omitzero"`
	Behind bool      `json:"mirror_behind,omitempty"`

	// Unsaved are open alarms that the database could not be told of.
	Unsaved []doppelboden.Alarm `json:"-"`
}

// database says how the database is.
func (d *Desk) database() Database {
	if d.opts.Database == nil {
		return Database{}
	}
	return d.opts.Database()
}

// withoutDatabase are the requests that are answered from memory.
var withoutDatabase = map[string]bool{"GET /status": true, "GET /senders": true}

// there refuses a request that needs the database while that is dead, before anything of it
// is done or waited for.
func (d *Desk) there(pattern string) error {
	if withoutDatabase[pattern] {
		return nil
	}
	db := d.database()
	if !db.Dead {
		return nil
	}
	return &doppelboden.Error{Code: doppelboden.Temporary, Public: "the database does not answer",
		Cause: fmt.Errorf("since %s; mail is taken all the same", db.Away.Local().Format(time.RFC3339))}
}

// stored fills in what only the database knows. What cannot be read is left out, and the
// status says why: it must answer when nothing else does.
func (d *Desk) stored(ctx context.Context, s *Status) {
	if s.Database.Dead {
		d.standings(s, nil)
		return
	}
	for _, fill := range []func(context.Context, *Status) error{d.configs, d.scanners, d.counts, d.knot, d.alarms} {
		if err := fill(ctx, s); err != nil && s.Database.Away.IsZero() {
			s.Database.Away, s.Database.Why = s.Now, err.Error()
		}
	}
}
