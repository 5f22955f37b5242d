package disk

import (
	"errors"
	"fmt"
	"syscall"

	"doppelboden"
)

// Fail wraps err for the border: StorageFull when the disk has no room, otherwise
// Temporary. verb says what was tried. A doppelboden.Error in err's tree keeps its code.
func Fail(verb string, err error) error {
	var known *doppelboden.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return fmt.Errorf("%s: %w", verb, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &doppelboden.Error{Code: doppelboden.StorageFull,
			Public: "insufficient storage, please try again later", Cause: fmt.Errorf("%s: %w", verb, err)}
	}
	return &doppelboden.Error{Code: doppelboden.Temporary,
		Public: "cannot store mail at the moment, please try again later", Cause: fmt.Errorf("%s: %w", verb, err)}
}
