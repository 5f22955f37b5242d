package storetest

import (
	"fmt"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testVersions(t *testing.T, open Open) {
	t.Run("configurations have versions", func(t *testing.T) { configs(t, open) })
	t.Run("the history is told without texts", func(t *testing.T) { history(t, open) })
	t.Run("a node keeps the version it runs", func(t *testing.T) { pins(t, open) })
}

func configs(t *testing.T, open Open) {
	w := newWorld(t, open)
	_, err := w.s.Config(ctx, 0)
	isCode(t, "Config of an empty store", err, doppelboden.NotFound)
	put := func(text string, want int64) {
		t.Helper()
		got, err := w.s.PutConfig(ctx, store.ConfigVersion{Text: []byte(text), By: "anna", At: day})
		w.must(err)
		if got != want {
			t.Errorf("%q became version %d, wanted %d", text, got, want)
		}
	}
	put("a = 1", 1)
	put("a = 1", 1)
	put("A = 1", 2)
	put("", 3)
	put("", 3)
	put("a = 1", 4)
	for version, text := range map[int64]string{1: "a = 1", 2: "A = 1", 3: "", 4: "a = 1", 0: "a = 1"} {
		got, err := w.s.Config(ctx, version)
		w.must(err)
		want := store.ConfigVersion{Version: version, Text: []byte(text), By: "anna", At: cut(day)}
		if version == 0 {
			want.Version = 4
		}
		same(t, fmt.Sprintf("version %d", version), got, want)
	}
	_, err = w.s.Config(ctx, 5)
	isCode(t, "Config of version 5", err, doppelboden.NotFound)
	later, err := w.s.PutConfig(ctx, store.ConfigVersion{Version: 99, Text: []byte("b = 2"), By: "b"})
	w.must(err)
	if got, err := w.s.Config(ctx, later); err != nil || later != 5 || !got.At.IsZero() {
		t.Errorf("version %d: %v at %v, wanted 5 and the zero time", later, err, got.At)
	}
}

func history(t *testing.T, open Open) {
	w := newWorld(t, open)
	read := func() []store.ConfigVersion {
		return gather(t, func(y func(store.ConfigVersion) error) error { return w.s.Configs(ctx, y) })
	}
	if got := read(); len(got) != 0 {
		t.Errorf("the history of an empty store: %v", got)
	}
	var want []store.ConfigVersion
	for i := range 300 {
		v := store.ConfigVersion{Text: []byte(fmt.Sprint(i)), By: "anna " + hostile, At: day.Add(time.Duration(i) * time.Second)}
		if i > 0 {
			v.Changes, v.Again = []byte(`[{"what":"\u0000"}]`), int64(i/2)
		}
		version, err := w.s.PutConfig(ctx, v)
		w.must(err)
		v.Version, v.Text, v.At = version, nil, cut(v.At)
		want = append([]store.ConfigVersion{v}, want...)
	}
	w.restart()
	same(t, "the history", read(), want)
}

func pins(t *testing.T, open Open) {
	w := newWorld(t, open)
	pinned := func(node string, want int64) {
		t.Helper()
		if got, err := w.s.Pinned(ctx, node); err != nil || got != want {
			t.Errorf("node %q runs version %d (%v), wanted %d", node, got, err, want)
		}
	}
	pinned("node", 0)
	pinned("nobody", 0)
	isCode(t, "Pin of a version that does not exist", w.s.Pin(ctx, w.lease, 1), doppelboden.NotFound)
	for _, text := range []string{"a", "b"} {
		_, err := w.s.PutConfig(ctx, store.ConfigVersion{Text: []byte(text)})
		w.must(err)
	}
	w.must(w.s.Pin(ctx, w.lease, 2))
	w.must(w.s.Pin(ctx, w.lease, 1))
	w.must(w.s.Pin(ctx, w.lease, 1))
	pinned("node", 1)
	old := w.lease
	w.restart()
	var err error
	w.lease, err = w.s.Join(ctx, "node", w.tick())
	w.must(err)
	pinned("node", 1)
	isCode(t, "Pin of a run that was replaced", w.s.Pin(ctx, old, 2), doppelboden.Fenced)
	pinned("node", 1)
	other, err := w.s.Join(ctx, "other", w.tick())
	w.must(err)
	w.must(w.s.Pin(ctx, other, 2))
	pinned("node", 1)
	pinned("other", 2)
}
