package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// stopPatience bounds one step of the way down.
const stopPatience = 20 * time.Second

// stops are what was started together: steps for the way down, last in first out.
type stops struct {
	mu    sync.Mutex
	steps []step
}

// A step is one step of the way down.
type step struct {
	name string
	do   func(context.Context) error
}

// onStop notes a step for the way down.
func (s *stops) onStop(name string, do func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step{name, do})
}

// background runs do until the step of this name on the way down.
func (s *stops) background(ctx context.Context, name string, do func(context.Context)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx)
	}()
	s.onStop(name, func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// stop goes all the way down, waits for everything, and returns what went wrong.
func (s *stops) stop(ctx context.Context) error {
	s.mu.Lock()
	steps := s.steps
	s.steps = nil
	s.mu.Unlock()
	var errs []error
	for _, one := range slices.Backward(steps) {
		patient, cancel := context.WithTimeout(ctx, stopPatience)
		if err := one.do(patient); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", one.name, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}
