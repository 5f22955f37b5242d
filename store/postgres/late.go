package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"doppelboden"
)

// New returns a store whose server nobody has asked yet, so that a node can start while it
// is dead. Until Open has succeeded, the store's calls are Temporary.
func New(o Options) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	config, err := configure(o.DSN)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{opts: o, config: config, metrics: newMetrics(o.Registry), ops: make(chan *op),
		closing: make(chan struct{}), lock: randomLock()}
	s.health.write = errNotOpen
	s.readers = newReaders(s)
	s.writer = &writer{s: s}
	return s, nil
}

// errNotOpen is what calls before Open get.
var errNotOpen = &doppelboden.Error{Code: doppelboden.Temporary, Public: publicStorage, Cause: errors.New("the database has not answered yet")}

// Open connects, refuses a server that would not keep what it commits (Invalid), brings the
// schema up to date and starts the store's goroutines, which end with Close. The error is
// Temporary while the server cannot be reached. It may be called again until it succeeds,
// by one goroutine, and never after Close; then it does nothing.
func (s *Store) Open(ctx context.Context) error {
	if s.opened.Load() {
		return nil
	}
	err := s.migrate(ctx)
	if err == nil {
		err = s.writer.open(ctx)
	}
	s.health.mu.Lock()
	s.health.write, s.health.clean = outward(err), time.Now()
	s.health.mu.Unlock()
	if err != nil {
		s.writer.discard()
		return fmt.Errorf("open store: %w", outward(err))
	}
	s.stages.Go(s.writer.loop)
	s.helpers.Go(s.monitor)
	s.opened.Store(true)
	return nil
}
