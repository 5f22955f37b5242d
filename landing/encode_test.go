package landing

import (
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/store"
)

// filled is a message of which no field has its zero value.
func filled() *doppelboden.Message {
	var m doppelboden.Message
	n := 0
	fill(reflect.ValueOf(&m).Elem(), &n)
	for i := range m.Deliveries {
		m.Deliveries[i].Message = m.ID
		m.Deliveries[i].Seq = 0 // given later
	}
	return &m
}

// fill gives v and all in it values that differ.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMicro(1_700_000_000_000_000 + int64(*n)).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString(string(rune('a'+*n%26)) + "\x00\r\n")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint32:
		v.SetUint(uint64(*n % 256))
	default:
		panic("a kind that the journal does not know: " + v.Kind().String())
	}
}

func TestEveryFieldOfAMessageComesBackFromTheJournal(t *testing.T) {
	want := filled()
	d := &decoder{b: appendMessage(nil, want), version: codecVersion}
	got := d.message()
	if d.err != nil || len(d.b) > 0 {
		t.Fatalf("%v, %d bytes are left", d.err, len(d.b))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a message came back differently (-want +got):\n%s", diff)
	}
	empty := &doppelboden.Message{Deliveries: []doppelboden.Delivery{}}
	d = &decoder{b: appendMessage(nil, empty), version: codecVersion}
	if diff := cmp.Diff(empty, d.message()); diff != "" || d.err != nil {
		t.Errorf("an empty message came back differently (-want +got):\n%s\n%v", diff, d.err)
	}
}

func TestACommitComesBackFromTheJournal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var link doppelboden.Link
		link.Chain, link.Number = rapid.String().Draw(t, "chain"), rapid.Int64().Draw(t, "number")
		link.At = time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "at")).UTC()
		copy(link.Hash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
		link.Entries = rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "entries")
		var all [][]byte
		n := rapid.IntRange(0, 3).Draw(t, "messages")
		for range n {
			all = append(all, appendMessage(nil, filled()))
		}
		offset := align * rapid.Int64Range(0, 1<<40).Draw(t, "offset")
		rec := appendRecord(nil, kindCommit, offset, 8, 9, appendLanded(nil, &link, all))
		h, ok := parseHeader(rec, offset)
		if !ok || h.end() != offset+int64(len(rec)) || h.sure != 8 || h.before != 9 {
			t.Fatalf("header %+v, %v, of a record of %d bytes at %d", h, ok, len(rec), offset)
		}
		got, err := decodeLanded(rec[headerSize : headerSize+h.length])
		if err != nil || len(got.Messages) != n {
			t.Fatalf("%d messages, %v; want %d", len(got.Messages), err, n)
		}
		if diff := cmp.Diff(link, got.Link); diff != "" {
			t.Errorf("the link came back differently (-want +got):\n%s", diff)
		}
	})
}

// What landed before an update is drained after it.
func TestARecordOfVersion1IsStillRead(t *testing.T) {
	record, err := os.ReadFile("testdata/version1.landed")
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMicro(1_700_000_000_000_001).UTC()
	want := store.Landed{Link: doppelboden.Link{Chain: "landing/1", Number: 4, At: at, Entries: []byte{1}},
		Messages: []*doppelboden.Message{{ID: doppelboden.ID{1}, Tenant: 3, Door: "mx", Received: at, Recipients: 1,
			Body: doppelboden.Body{Segment: "2026-03-14", Size: 9, Key: []byte{7}, KeyVersion: 1},
			Deliveries: []doppelboden.Delivery{{Message: doppelboden.ID{1}, Tenant: 3, Mailbox: 5,
				Recipient: doppelboden.Address{Local: "anna", Domain: "stadt.example"}}},
			Copies: []doppelboden.Copy{{Mailbox: 5, Folder: doppelboden.Inbox, Message: doppelboden.ID{1}, Date: at},
				{Mailbox: 6, Folder: "Akten", Message: doppelboden.ID{1}, Flags: doppelboden.Seen, Date: at}}}}}
	got, err := decodeLanded(record)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a record of version 1 is read as something else (-want +got):\n%s", diff)
	}
	for _, version := range []byte{0, codecVersion + 1} {
		record[0] = version
		if _, err := decodeLanded(record); err == nil {
			t.Errorf("a record of version %d, which nobody knows, was read", version)
		}
	}
}

func FuzzDecodeLanded(f *testing.F) {
	f.Add(appendLanded(nil, &doppelboden.Link{Chain: "c", Number: 1, Entries: []byte{1}}, [][]byte{appendMessage(nil, filled())}))
	f.Add([]byte{codecVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		landed, err := decodeLanded(b)
		if err != nil {
			return
		}
		var all [][]byte
		for _, m := range landed.Messages {
			all = append(all, appendMessage(nil, m))
		}
		again, err := decodeLanded(appendLanded(nil, &landed.Link, all))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if diff := cmp.Diff(landed, again); diff != "" {
			t.Errorf("read again it differs (-first +again):\n%s", diff)
		}
	})
}
