package setup

import (
	"testing"

	"doppelboden/web/webtest"
)

func TestEverySentenceIsThereInGermanAndNoneIsUnused(t *testing.T) { webtest.Words(t, ".", german) }
