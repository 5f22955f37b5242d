package queue

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// overdueStore has mail that waits.
type overdueStore struct {
	*fakeStore
	told map[doppelboden.Ref]bool
}

func (s *overdueStore) Overdue(_ context.Context, box doppelboden.BoxID, cut time.Time, after int64, limit int) (got []store.Item, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range s.items {
		d := it.Delivery
		if d.Box == box && d.State == doppelboden.Queued && d.Seq > after && it.Message.Received.Before(cut) && !s.told[refOf(it)] && len(got) < limit {
			got = append(got, it)
		}
	}
	return got, nil
}

func TestSendersHearOfADelayOnceForEachMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &overdueStore{&fakeStore{}, map[doppelboden.Ref]bool{}}
		var mu sync.Mutex // guards told and fail
		told := map[doppelboden.ID][]int{}
		fail := map[doppelboden.ID]int{}
		d, err := NewDelays(DelayOptions{
			Store: s, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			After: func(doppelboden.TenantID) time.Duration { return 4 * time.Hour },
			Tell: func(_ context.Context, m *doppelboden.Message, waiting []doppelboden.Delivery) error {
				mu.Lock()
				defer mu.Unlock()
				if fail[m.ID] > 0 {
					fail[m.ID]--
					return errors.New("the disk is full")
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				for _, one := range waiting {
					s.told[doppelboden.Ref{Message: m.ID, N: one.N}] = true
					told[m.ID] = append(told[m.ID], one.N)
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		first := s.accept(began, -1, -1, -2).ID
		city := s.accept(began, 7).ID
		second := s.accept(began.Add(time.Hour), -1).ID
		way := s.accept(began, -3).ID
		for i := range s.items {
			if s.items[i].Delivery.Message == way {
				s.items[i].Delivery.Mailbox = 12 // a second way
			}
		}
		for range delayPage { // more than a page
			s.accept(began.Add(2*time.Hour), -4)
		}
		fail[second] = 2
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { d.Run(ctx); close(done) }()
		for _, step := range []struct {
			at   time.Duration
			want map[doppelboden.ID][]int
		}{
			{3*time.Hour + 59*time.Minute, nil},
			{4*time.Hour + 11*time.Minute, map[doppelboden.ID][]int{first: {0, 1, 2}}},
			{5*time.Hour + 11*time.Minute, map[doppelboden.ID][]int{first: {0, 1, 2}}}, // the disk is full
			{5*time.Hour + 31*time.Minute, map[doppelboden.ID][]int{first: {0, 1, 2}, second: {0}}},
		} {
			time.Sleep(time.Until(began.Add(step.at)))
			synctest.Wait()
			mu.Lock()
			for id := range told {
				slices.Sort(told[id])
			}
			if !maps.EqualFunc(told, step.want, slices.Equal) {
				t.Errorf("after %v: told of %v, want %v", step.at, told, step.want)
			}
			mu.Unlock()
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if n := len(told); n != 2+delayPage {
			t.Errorf("told of %d messages in the end, want %d", n, 2+delayPage)
		}
		if len(told[city]) > 0 || len(told[way]) > 0 {
			t.Errorf("told of mail to a mailbox of the city")
		}
		cancel()
		<-done
	})
}
