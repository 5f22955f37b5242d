package store

import (
	"encoding/json"
	"fmt"

	"doppelboden"
)

// EncodeTelling writes what an alarm says for a database; nothing is "".
func EncodeTelling(t doppelboden.Telling) (string, error) {
	if len(t) == 0 {
		return "", nil
	}
	b, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode what an alarm says: %w", err)
	}
	return string(b), nil
}

// DecodeTelling reads what EncodeTelling wrote. What cannot be read is nothing: the
// alarm has its English text besides.
func DecodeTelling(s string) (t doppelboden.Telling) {
	if json.Unmarshal([]byte(s), &t) != nil {
		return nil
	}
	return t
}
