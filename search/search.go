package search

import (
	"context"
	"io"
	"log/slog"
	"time"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/store"
)

// Store is what searching needs of the store; its contract is in package store.
type Store interface {
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
	Store  Store
	Bodies Bodies
	Keys   Keys
	Log    *slog.Logger
	Clock  func() time.Time // default time.Now
}

// A Room finds mails.
type Room struct{ opts Options }

// New returns a room.
func New(o Options) (*Room, error) { return &Room{opts: o}, nil }

// Summaries returns what lists show of messages of a tenant. Messages that are not there
// are missing in it.
func (r *Room) Summaries(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID) (map[doppelboden.ID]letter.Summary, error) {
	return nil, notYet()
}

// A Query is what somebody looks for; all that is set must hold.
type Query struct {
	Words      []string  // each is in the mail, as a word or inside of one
	Phrases    []string  // each is in the mail as it is written
	From       []string  // each is in a sender's name or address
	To         []string  // each is in a recipient's name or address
	Subject    []string  // each is in the subject
	Since      time.Time // received then or later; zero: no bound
	Before     time.Time // received before; zero: no bound
	Attachment bool      // only with attachments
	Set, Clear uint32    // flags that are set, and flags that are not
	Limit      int       // at most so many hits; 0: no bound
}

// A Hit is a mail that was found.
type Hit struct {
	Place   store.Place
	Shown   store.Shown
	Summary letter.Summary
}

// Search yields what q finds in the places, the newest first.
func (r *Room) Search(ctx context.Context, at []store.Place, q Query, yield func(Hit) error) error {
	return notYet()
}

// ParseQuery reads what a person typed. Nothing is an error.
func ParseQuery(text string, now time.Time) Query { return Query{} }

// A ThreadItem is a mail of which conversations are made.
type ThreadItem struct {
	Shown   store.Shown
	Summary letter.Summary
}

// A Thread is a conversation: its mails, the newest first.
type Thread struct{ Items []ThreadItem }

// Threads puts mails into conversations by References, In-Reply-To and subject. Threads
// come by their newest mail, in the order in which list has it.
func Threads(list []ThreadItem) []Thread { return nil }

func notYet() error {
	return &doppelboden.Error{Code: doppelboden.Temporary, Public: "search is not built yet"}
}
