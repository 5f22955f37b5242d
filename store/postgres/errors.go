package postgres

import (
	"context"
	"errors"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

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

// classify says what an error of the server or of the file system means for a peer.
func classify(err error) (doppelboden.Code, string) {
	switch {
	case stateOf(err) == "53100", errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return doppelboden.StorageFull, publicFull
	case stateOf(err) == "25006", errors.Is(err, syscall.EROFS):
		return doppelboden.Temporary, publicReadOnly
	}
	return doppelboden.Temporary, publicStorage
}

// stateOf returns the server's SQLSTATE, or "".
func stateOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// A storageError is the fault of the storage and of no operation.
type storageError struct{ err error }

func (e *storageError) Error() string { return e.err.Error() }
func (e *storageError) Unwrap() error { return e.err }

// errAgain says that a transaction met another one, and that it will do when it is run
// again: a delivery that was read was changed by another node before it was written.
var errAgain = errors.New("another node has changed the same")

// again reports whether the same transaction may succeed when it is run again at once.
func again(err error) bool {
	switch stateOf(err) {
	case "40001", "40P01": // serialization failure, deadlock
		return true
	}
	return errors.Is(err, errAgain)
}

// aboutItem reports whether an error can be the fault of one operation, so that the
// others of its commit may succeed without it. Everything else is the storage's.
func aboutItem(err error) bool {
	var storage *storageError
	if errors.As(err, &storage) || again(err) {
		return false
	}
	state := stateOf(err)
	if len(state) < 2 {
		return true // not the server's: the operation's own
	}
	switch state[:2] {
	case "22", "23", "54": // data exception, constraint violation, program limit exceeded
		return true
	}
	return false
}
