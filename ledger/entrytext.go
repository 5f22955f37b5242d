package ledger

import (
	"fmt"
	"strconv"
	"time"

	"doppelboden"
)

// An entryText is an entry as exports show it. Absent fields are zero.
type entryText struct {
	Kind       kindText        `json:"kind"`
	At         time.Time       `json:"at"`
	Tenant     int64           `json:"tenant,omitempty"`
	Message    *doppelboden.ID `json:"message,omitempty"`
	Recipients int             `json:"recipients,omitempty"`
	Deliveries int             `json:"deliveries,omitempty"`
	Expanded   int             `json:"expanded,omitempty"`
	Merged     int             `json:"merged,omitempty"`
	Generated  bool            `json:"generated,omitempty"`
	Sum        *hash           `json:"sum,omitempty"`
	Here       []int           `json:"here,omitempty"`
	N          *int            `json:"n,omitempty"`
	State      *stateText      `json:"state,omitempty"`
	By         string          `json:"by,omitempty"`
	Note       string          `json:"note,omitempty"`
}

// A kindText is an EntryKind as a word, or as a number when we have none.
type kindText doppelboden.EntryKind

// kindName returns the word for a kind, or "".
func kindName(k doppelboden.EntryKind) string {
	switch k {
	case doppelboden.EntryAccepted:
		return "accepted"
	case doppelboden.EntrySettled:
		return "settled"
	case doppelboden.EntryRead:
		return "read"
	case doppelboden.EntryConfig:
		return "config"
	case doppelboden.EntryExpired:
		return "expired"
	}
	return ""
}

// MarshalText writes the word or the number.
func (k kindText) MarshalText() ([]byte, error) {
	if name := kindName(doppelboden.EntryKind(k)); name != "" {
		return []byte(name), nil
	}
	return strconv.AppendInt(nil, int64(k), 10), nil
}

// UnmarshalText reads what MarshalText wrote.
func (k *kindText) UnmarshalText(text []byte) error {
	for kind := doppelboden.EntryAccepted; kindName(kind) != ""; kind++ {
		if kindName(kind) == string(text) {
			*k = kindText(kind)
			return nil
		}
	}
	n, err := strconv.ParseUint(string(text), 10, 8)
	*k = kindText(n)
	return err
}

// A stateText is a State as a word, or as a number when we have none.
type stateText doppelboden.State

// MarshalText writes the word or the number.
func (s stateText) MarshalText() ([]byte, error) {
	for _, state := range doppelboden.States() {
		if state == doppelboden.State(s) {
			return []byte(state.String()), nil
		}
	}
	return strconv.AppendInt(nil, int64(s), 10), nil
}

// UnmarshalText reads what MarshalText wrote.
func (s *stateText) UnmarshalText(text []byte) error {
	for _, state := range doppelboden.States() {
		if state.String() == string(text) {
			*s = stateText(state)
			return nil
		}
	}
	n, err := strconv.Atoi(string(text))
	*s = stateText(n)
	return err
}

// textOfEntry returns e as exports show it. A settlement always shows its delivery and
// state, because 0 means something there.
func textOfEntry(e *doppelboden.Entry) entryText {
	t := entryText{Kind: kindText(e.Kind), At: e.At.UTC(), Tenant: int64(e.Tenant),
		Recipients: e.Recipients, Deliveries: e.Deliveries, Expanded: e.Expanded, Merged: e.Merged,
		Generated: e.Generated, Here: e.Here, By: e.By, Note: e.Note}
	if !e.Message.IsZero() {
		t.Message = &e.Message
	}
	if e.Sum != [32]byte{} {
		sum := hash(e.Sum)
		t.Sum = &sum
	}
	settled := e.Kind == doppelboden.EntrySettled
	if settled || e.N != 0 {
		t.N = &e.N
	}
	if settled || e.State != 0 {
		state := stateText(e.State)
		t.State = &state
	}
	return t
}

// entry returns what t shows.
func (t *entryText) entry() (doppelboden.Entry, error) {
	e := doppelboden.Entry{Kind: doppelboden.EntryKind(t.Kind), At: t.At.UTC(), Tenant: doppelboden.TenantID(t.Tenant),
		Recipients: t.Recipients, Deliveries: t.Deliveries, Expanded: t.Expanded, Merged: t.Merged,
		Generated: t.Generated, Here: t.Here, By: t.By, Note: t.Note}
	if t.Message != nil {
		e.Message = *t.Message
	}
	if t.Sum != nil {
		e.Sum = *t.Sum
	}
	if t.N != nil {
		e.N = *t.N
	}
	if t.State != nil {
		e.State = doppelboden.State(*t.State)
	}
	if tidy(e.By) != e.By || tidy(e.Note) != e.Note || e.At.UnixMicro() != micros(e.At) {
		return e, fmt.Errorf("%w: a text or time that the ledger cannot hold", errEntry)
	}
	return e, nil
}
