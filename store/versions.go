package store

import (
	"context"
	"time"
)

// A ConfigVersion is one text of city.toml that was in use, or is.
type ConfigVersion struct {
	Version int64 // from 1
	Text    []byte
	By      string // who applied it
	At      time.Time
	Changes []byte // what it changed then, as package control writes it; nil for the first
	Again   int64  // the older version whose text it brought back, or 0
}

// Versions holds the versions of the city's configuration, and which node runs which.
type Versions interface {
	// PutConfig stores v as the next version, whatever v.Version says, and returns its
	// number, from 1. The same text as in the newest version makes no new one.
	PutConfig(ctx context.Context, v ConfigVersion) (version int64, err error)

	// Config returns a version; 0 asks for the newest. NotFound.
	Config(ctx context.Context, version int64) (ConfigVersion, error)

	// Configs yields all versions without their texts, the newest first.
	Configs(ctx context.Context, yield func(ConfigVersion) error) error

	// Pin notes which version a node runs, so that it runs the same after a restart. The
	// code is NotFound for a version that does not exist; lease is as in Queue.Settle.
	Pin(ctx context.Context, lease Lease, version int64) error

	// Pinned returns the version that a node ran last; 0 when it has run none.
	Pinned(ctx context.Context, node string) (version int64, err error)
}
