package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Scan is what scanners, or a person, said about a message after it was kept.
type Scan struct {
	Message doppelboden.ID
	State   doppelboden.ScanState
	At      time.Time
	Prefix  []byte // the message's new Prefix; empty: as it was
}

// An Unscanned is a message that waits for scanners.
type Unscanned struct {
	Message doppelboden.ID
	Seq     int64     // of its first delivery
	Since   time.Time // Scanned of the message, or Received where that is zero
}

// An UnscannedCount says how much waits for scanners.
type UnscannedCount struct {
	Tenant   doppelboden.TenantID
	Messages int64
	Oldest   time.Time // when the first of them was received
}

// Scans keeps what scanners say later.
type Scans interface {
	// PutScans writes Scan, Scanned and Prefix of messages, all or none. Messages that no
	// longer exist are passed over.
	PutScans(ctx context.Context, list []Scan) error

	// Unscanned returns up to limit messages of a tenant that are Unscanned and of which a
	// delivery is queued or held, with a Seq greater than after, in the order of Seq.
	Unscanned(ctx context.Context, t doppelboden.TenantID, after int64, limit int) ([]Unscanned, error)

	// UnscannedCounts returns for every tenant how many such messages it has, where it has
	// any, by tenant.
	UnscannedCounts(ctx context.Context) ([]UnscannedCount, error)
}
