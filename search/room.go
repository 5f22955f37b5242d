package search

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/letter"
	"doppelboden/store"
)

// Store is what searching needs of the store; its contract is in package store.
type Store interface {
	store.Extracts
	Shown(ctx context.Context, at store.Place, f store.ShownFilter, yield func(store.Shown) error) error
	Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error)
}

// Bodies gives the bytes of stored bodies; package segment does.
type Bodies interface {
	Reader(t doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error)
}

// Keys opens the keys of bodies; package keyring does.
type Keys interface {
	Unwrap(t doppelboden.TenantID, version int, wrapped []byte) ([32]byte, error)
}

// Options say what a room works with. All must be set unless a default is named.
type Options struct {
	Store    Store
	Bodies   Bodies
	Keys     Keys
	Log      *slog.Logger
	Registry prometheus.Registerer
	Clock    func() time.Time // default time.Now
}

// A Room finds mails and sums them up. Its methods may be called by any number of
// goroutines.
type Room struct {
	opts    Options
	workers int           // how many goroutines one search uses
	reading chan struct{} // holds a place for each who reads mails; see readSome
	metrics metrics

	// How mails are read: what tests put in place of it, and how many are still being read that
	// took too long.
	parse  func([]byte, letter.Limits) *letter.Letter
	timer  clock.Timer
	strays atomic.Int32
}

// metrics counts what becomes of extracts.
type metrics struct {
	made   *prometheus.CounterVec // by "how": worker, demand
	failed prometheus.Counter
}

// New returns a room.
func New(o Options) (*Room, error) {
	if o.Store == nil || o.Bodies == nil || o.Keys == nil || o.Log == nil || o.Registry == nil {
		return nil, errors.New("search: Store, Bodies, Keys, Log and Registry must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	m := metrics{
		made: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "doppelboden_search_extracts_total",
			Help: "Extracts of mails that were made: after acceptance (worker), or because somebody needed one at once (demand)."}, []string{"how"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "doppelboden_search_failures_total", Help: "Mails that could not be read for lists and searches, or in their beginning alone."}),
	}
	m.made.WithLabelValues("worker") // shown from the start
	m.made.WithLabelValues("demand")
	for _, c := range []prometheus.Collector{m.made, m.failed} {
		if err := o.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
	}
	return &Room{opts: o, workers: max(runtime.GOMAXPROCS(0), 2), reading: make(chan struct{}, 2), metrics: m,
		parse: letter.ParseBytes, timer: clock.Real}, nil
}
