package account

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// What is remembered of tenants and mailboxes; see store.Memo.
const (
	memoDistrusted = "account distrusted" // since when the tenant's directory is not believed
	memoDoors      = "account doors"      // until when its doors are open
	memoReminded   = "account reminded"   // when a person was last reminded
	memoOpened     = "account opened"     // when a mailbox was last opened, to hours, while an event lasts
	memoUntouched  = "account untouched"  // when it was told that nobody opens a mailbox
)

// Distrust has nobody let in any more because of what a tenant's directory said: passwords
// that were kept are void, sessions that came from them end, and it is not asked. So is
// what was set in such sessions: who owns the directory logs in as anybody, and would have
// given herself a password of her own. What people have set here in other ways stays good.
// It returns how many sessions ended.
func (r *Room) Distrust(ctx context.Context, t doppelboden.TenantID, by string) (int, error) {
	now := r.opts.Clock()
	// First the memo: what logs in meanwhile is not let in by the directory.
	if err := r.opts.Store.PutMemos(ctx, []store.Memo{{Tenant: t, What: memoDistrusted, At: now}}); err != nil {
		return 0, fmt.Errorf("note that the directory is not believed: %w", err)
	}
	void, err := r.voidDirectory(ctx, t, now)
	if err != nil {
		return 0, fmt.Errorf("end what the directory let in: %w", err)
	}
	ended, err := r.opts.Store.EndSessions(ctx, store.SessionFilter{Tenant: t, Source: sourceDirectory})
	if err != nil {
		return 0, fmt.Errorf("end the sessions: %w", err)
	}
	return ended, r.note(ctx, t, by, fmt.Sprintf("the directory is not believed; %d passwords and keys that came by it are void, %d sessions ended", void, ended))
}

// voidDirectory ends what a tenant's directory has let in, and what was set by whom it let in.
func (r *Room) voidDirectory(ctx context.Context, t doppelboden.TenantID, now time.Time) (void int, err error) {
	var ends []store.CredentialEnd
	f := store.CredentialFilter{Tenant: t, Kinds: []string{kindDirectory, kindPassword, kindTOTP, kindPasskey, kindApp, kindVouch}, Live: true}
	err = r.opts.Store.Credentials(ctx, f, func(c store.Credential) error {
		if fromDirectory(&c) {
			ends = append(ends, store.CredentialEnd{ID: c.ID, Why: whyVoid, At: now})
		}
		return nil
	})
	for len(ends) > 0 && err == nil {
		part := ends[:min(len(ends), codesAtOnce)]
		ends = ends[len(part):]
		var n int
		n, err = r.opts.Store.ChangeCredentials(ctx, store.CredentialChange{End: part})
		void += n
	}
	return void, err
}

// stillBelieved ends a session that the directory's word has just begun, when the directory
// is not believed: somebody may have said so while it was asked.
func (r *Room) stillBelieved(ctx context.Context, s store.LoggedIn, cookie string) error {
	if s.Source != sourceDirectory {
		return nil
	}
	distrusted, err := r.Distrusted(ctx, s.Tenant)
	if err == nil && !distrusted {
		return nil
	}
	if _, ending := r.opts.Store.EndSessions(ctx, store.SessionFilter{Hash: hashOf(cookie)}); err == nil {
		err = ending
	}
	if err != nil {
		return err
	}
	return errWrong
}

// Trust believes a tenant's directory again. What was void stays so.
func (r *Room) Trust(ctx context.Context, t doppelboden.TenantID, by string) error {
	if err := r.opts.Store.DropMemos(ctx, t, memoDistrusted); err != nil {
		return fmt.Errorf("note that the directory is believed: %w", err)
	}
	return r.note(ctx, t, by, "the directory is believed again")
}

// Distrusted reports whether a tenant's directory is not believed.
func (r *Room) Distrusted(ctx context.Context, t doppelboden.TenantID) (bool, error) {
	found := false
	err := r.opts.Store.Memos(ctx, t, memoDistrusted, func(store.Memo) error {
		found = true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("ask whether the directory is believed: %w", err)
	}
	return found, nil
}

// OpenDoors keeps a tenant's doors open until a time, for a drill or to enrol, also where
// city.toml opens them in events only. A time that is over closes them.
func (r *Room) OpenDoors(ctx context.Context, t doppelboden.TenantID, until time.Time, by string) error {
	if err := r.opts.Store.PutMemos(ctx, []store.Memo{{Tenant: t, What: memoDoors, At: until}}); err != nil {
		return fmt.Errorf("note until when the doors are open: %w", err)
	}
	r.mu.Lock()
	delete(r.doorsUntil, t)
	r.mu.Unlock()
	return r.note(ctx, t, by, "the doors are open until "+until.UTC().Format(time.RFC3339))
}

// doorsFor is how long a node believes what it read about doors: another one may have
// been told to open or close them.
const doorsFor = 5 * time.Second

// A reading is what the database said about a tenant's doors.
type reading struct{ until, at time.Time }

// doors returns until when a tenant's doors were opened by somebody.
func (r *Room) doors(t doppelboden.TenantID) time.Time {
	now := r.opts.Clock()
	r.mu.Lock()
	known, ok := r.doorsUntil[t]
	r.mu.Unlock()
	if ok && now.Sub(known.at) < doorsFor {
		return known.until
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	fresh := reading{at: now}
	err := r.opts.Store.Memos(ctx, t, memoDoors, func(m store.Memo) error {
		fresh.until = m.At
		return nil
	})
	if err != nil {
		fresh.until = known.until // as before, until somebody can tell
	}
	r.mu.Lock()
	r.doorsUntil[t] = fresh
	r.mu.Unlock()
	return fresh.until
}
