package webmail

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestManyWindowsWithALargeMailDoNotFillTheMemory(t *testing.T) {
	s := newSite(t)
	text := "Subject: groß\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.bin\r\n\r\n" + strings.Repeat("x", 2<<20)
	uid := s.put(7, 1, 0, text)
	for _, page := range []string{"", "/html", "/part/1"} {
		s.door.large = newRation(1, 1, 0)
		target := fmt.Sprintf("/m/7/f/1/%d.v1%s", uid, page)
		if w := s.ask(7, target, nil); w.Code != http.StatusOK {
			t.Fatalf("%s: status %d", target, w.Code)
		}
		// The request of a recorder never ends.
		if w := s.ask(7, target, nil); w.Code != http.StatusTooManyRequests {
			t.Errorf("%s once more beside it: status %d, wanted 429", target, w.Code)
		}
	}
}

func TestLargeMailsWaitForOneAnother(t *testing.T) {
	m := newRation(100<<20, 50<<20, 0)
	first, end := context.WithCancel(t.Context())
	for name, size := range map[string]int64{"a mail larger than all memory": 200 << 20, "a small mail": freeSize} {
		if err := m.take(first, 7, size); err != nil {
			t.Fatalf("%s, first: %v", name, err)
		}
	}
	if err := m.take(t.Context(), 8, 2<<20); !errors.Is(err, errManyLarge) {
		t.Errorf("a large mail beside it: %v, wanted that there are too many", err)
	}
	if err := m.take(t.Context(), 8, freeSize); err != nil {
		t.Errorf("a small mail beside it: %v", err)
	}
	m.patience = time.Minute
	done := make(chan error, 1)
	go func() { done <- m.take(t.Context(), 8, 2<<20) }()
	end() // its request is over
	if err := <-done; err != nil {
		t.Errorf("the next one: %v", err)
	}
	m.patience = 0
	if err := m.take(t.Context(), 8, 24<<20); !errors.Is(err, errManyLarge) {
		t.Errorf("more than one person may have: %v, wanted that there are too many", err)
	}
	if want := int64(4 << 20); m.used != want {
		t.Errorf("%d bytes are taken, wanted %d", m.used, want)
	}
}
