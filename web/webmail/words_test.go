package webmail

import (
	"testing"

	"doppelboden/web/webtest"
)

func TestEverySentenceOfThePagesHasAGermanText(t *testing.T) {
	webtest.Words(t, ".", german)
}
