package postgres

// A fault is a place where a test may make the writer fail.
type fault int

const (
	faultRun          fault = iota // before an operation runs
	faultBeforeCommit              // instead of COMMIT
	faultAfterCommit               // after a COMMIT that worked: its outcome gets lost
)

// faults holds what a test wants to go wrong; its zero value lets everything go well.
type faults struct {
	at func(f fault, o *op) error // nil: nothing
}

// hit asks the test.
func (f *faults) hit(at fault, o *op) error {
	if f.at == nil {
		return nil
	}
	return f.at(at, o)
}
