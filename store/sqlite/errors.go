package sqlite

import (
	"context"
	"errors"
	"syscall"

	engine "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"doppelboden"
)

// Public texts of errors.
const (
	publicFull     = "insufficient system storage"
	publicReadOnly = "storage is read-only at the moment, please try again"
	publicStorage  = "storage problem, please try again"
	publicClosed   = "shutting down, please try again"
	publicBusy     = "storage is busy, please try again"
)

// A refusal is the answer of an operation that has written nothing. It does not end the
// commit it is part of.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// refuse returns a refusal with a code and a public text.
func refuse(code doppelboden.Code, public string) error {
	return &refusal{&doppelboden.Error{Code: code, Public: public}}
}

// outward turns any error of this package into one that may cross the border.
func outward(err error) error {
	var known *doppelboden.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &doppelboden.Error{Code: doppelboden.Temporary, Public: publicBusy, Cause: err}
	}
	code, public := classify(err)
	return &doppelboden.Error{Code: code, Public: public, Cause: err}
}

// classify says what an error of the engine or of the file system means for a peer.
func classify(err error) (doppelboden.Code, string) {
	switch {
	case primary(err) == codes.SQLITE_FULL, errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return doppelboden.StorageFull, publicFull
	case primary(err) == codes.SQLITE_READONLY, errors.Is(err, syscall.EROFS):
		return doppelboden.Temporary, publicReadOnly
	}
	return doppelboden.Temporary, publicStorage
}

// primary returns the engine's result code without its extension, or 0.
func primary(err error) int {
	var e *engine.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// A storageError is the fault of the storage and of no operation.
type storageError struct{ err error }

func (e *storageError) Error() string { return e.err.Error() }
func (e *storageError) Unwrap() error { return e.err }

// aboutItem reports whether an error can be the fault of one operation, so that the
// others of its commit may succeed without it. Everything else is the storage's.
func aboutItem(err error) bool {
	var storage *storageError
	if errors.As(err, &storage) {
		return false
	}
	switch primary(err) {
	case codes.SQLITE_ERROR, codes.SQLITE_CONSTRAINT, codes.SQLITE_MISMATCH,
		codes.SQLITE_TOOBIG, codes.SQLITE_RANGE, codes.SQLITE_MISUSE:
		return true
	case 0:
		return true // not the engine's: the operation's own
	}
	return false
}
