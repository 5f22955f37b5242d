package sqlite

import (
	"database/sql/driver"
	"strings"
	"time"

	"doppelboden"
)

// micros is t as the database keeps it: microseconds, and NULL for the zero time.
func micros(t time.Time) driver.Value {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// blob is b as the database keeps it; nothing is NULL.
func blob(b []byte) driver.Value {
	if len(b) == 0 {
		return nil
	}
	return b
}

// address is a as the database keeps it. A domain holds no "@", so the last one parts.
func address(a doppelboden.Address) string {
	if a.IsNull() {
		return ""
	}
	return a.Local + "@" + a.Domain
}

// asInt reads an integer; NULL is 0.
func asInt(v driver.Value) int64 { n, _ := v.(int64); return n }

// asText reads a text; NULL is empty.
func asText(v driver.Value) string { s, _ := v.(string); return s }

// asBlob reads bytes; NULL is nil.
func asBlob(v driver.Value) []byte { b, _ := v.([]byte); return b }

// asSum reads 32 bytes.
func asSum(v driver.Value) (sum [32]byte) { copy(sum[:], asBlob(v)); return sum }

// asID reads a message's id.
func asID(v driver.Value) (id doppelboden.ID) { copy(id[:], asBlob(v)); return id }

// asTime reads what micros wrote.
func asTime(v driver.Value) time.Time {
	if n, ok := v.(int64); ok {
		return time.UnixMicro(n).UTC()
	}
	return time.Time{}
}

// asAddress reads what address wrote.
func asAddress(v driver.Value) doppelboden.Address {
	s := asText(v)
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return doppelboden.Address{}
	}
	return doppelboden.Address{Local: s[:at], Domain: s[at+1:]}
}
