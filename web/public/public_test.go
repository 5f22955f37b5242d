package public

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/web"
	"doppelboden/web/webtest"
)

// cellar is a database with some messages.
type cellar struct {
	all  map[doppelboden.Receipt]*doppelboden.Message
	fail error
}

func (c *cellar) ByReceipt(_ context.Context, r doppelboden.Receipt) (doppelboden.ID, error) {
	if c.fail != nil {
		return doppelboden.ID{}, c.fail
	}
	if m, ok := c.all[r]; ok {
		return m.ID, nil
	}
	return doppelboden.ID{}, &doppelboden.Error{Code: doppelboden.NotFound}
}

func (c *cellar) Message(_ context.Context, id doppelboden.ID) (*doppelboden.Message, error) {
	for _, m := range c.all {
		if m.ID == id {
			return m, nil
		}
	}
	return nil, &doppelboden.Error{Code: doppelboden.NotFound}
}

// nobody is logged in.
type nobody struct{}

func (nobody) Visitor(context.Context, string) (web.Visitor, error) {
	return web.Visitor{}, &doppelboden.Error{Code: doppelboden.NotFound}
}

var now = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// open returns the pages over a database.
func open(t *testing.T, c *cellar) *web.Server {
	t.Helper()
	s, err := web.New(web.Options{Sessions: nobody{}, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if err := Mount(Options{Server: s, Store: c, Clock: func() time.Time { return now }}); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask opens the page for a number.
func ask(s *web.Server, number, from string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "https://127.0.0.1/receipt?number="+url.QueryEscape(number), nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}))
	r.RemoteAddr = from
	r.Header.Set("Accept-Language", "de")
	w := httptest.NewRecorder()
	s.Root().ServeHTTP(w, r)
	return w
}

func TestASenderLearnsOneStateAndNothingElse(t *testing.T) {
	var ids doppelboden.IDs
	c := &cellar{all: map[doppelboden.Receipt]*doppelboden.Message{}}
	put := func(states ...doppelboden.State) string {
		m := &doppelboden.Message{ID: ids.New(now), Receipt: doppelboden.NewReceipt(now), Sender: doppelboden.Address{Local: "journalist", Domain: "paper.example"}}
		for _, st := range states {
			m.Deliveries = append(m.Deliveries, doppelboden.Delivery{State: st, Recipient: doppelboden.Address{Local: "mayor", Domain: "stadt.example"}, Reply: "550 no such user"})
		}
		c.all[m.Receipt] = m
		return m.Receipt.String()
	}
	s := open(t, c)
	const (
		arrived, kept = "Ihre E-Mail ist angekommen", "sie ist sicher aufbewahrt"
		back, unknown = "konnte nicht zugestellt werden", "keine E-Mail mit dieser Nummer"
	)
	for number, want := range map[string]string{
		put(doppelboden.Delivered): arrived, put(doppelboden.Delivered, doppelboden.Confirmed): arrived,
		put(doppelboden.Queued): kept, put(doppelboden.Held, doppelboden.Delivered): kept,
		put(doppelboden.Bounced, doppelboden.Queued): back, put(doppelboden.Discarded): back,
		put():                                       unknown, // what people made here has a number, and is nobody's to ask for
		doppelboden.NewReceipt(now).String():        unknown,
		"not a number <script>alert(1)</script>":    "Das ist keine Eingangsnummer",
		strings.Repeat("A", 500):                    "Das ist keine Eingangsnummer",
		strings.ToLower(put(doppelboden.Delivered)): arrived,
	} {
		w := ask(s, number, "192.0.2.1:999")
		body := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, the page does not say %q", number, w.Code, want)
		}
		for _, secret := range []string{"mayor", "journalist", "550", "2026", "<script>alert"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s: the page tells %q", number, secret)
			}
		}
	}
}

func TestANumberThatExpiredLooksLikeOneThatNeverWas(t *testing.T) {
	a, b := doppelboden.NewReceipt(now.AddDate(-1, 0, 0)).String(), doppelboden.NewReceipt(now).String()
	s := open(t, &cellar{})
	one, other := ask(s, a, "192.0.2.1:1").Body.String(), ask(s, b, "192.0.2.1:1").Body.String()
	// The number that was asked for and the token of the visit are all that may differ.
	if len(one) != len(other) || !strings.Contains(one, a) || !strings.Contains(other, b) {
		t.Errorf("the pages differ: %d and %d bytes", len(one), len(other))
	}
}

func TestWhoAsksTooOftenWaitsAndOthersDoNot(t *testing.T) {
	s := open(t, &cellar{})
	for i := range asksAMinute {
		if w := ask(s, doppelboden.NewReceipt(now).String(), "[2001:db8::1]:1"); w.Code != http.StatusOK {
			t.Fatalf("question %d: %d", i+1, w.Code)
		}
	}
	if w := ask(s, doppelboden.NewReceipt(now).String(), "[2001:db8:0:7::2]:1"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("another address of the same house: %d, want 429 with Retry-After", w.Code)
	}
	if w := ask(s, doppelboden.NewReceipt(now).String(), "192.0.2.1:1"); w.Code != http.StatusOK {
		t.Errorf("somebody else: %d, want 200", w.Code)
	}
}

func TestWithoutTheDatabaseTheSenderIsToldToAskLater(t *testing.T) {
	w := ask(open(t, &cellar{fail: context.DeadlineExceeded}), doppelboden.NewReceipt(now).String(), "192.0.2.1:1")
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "keine E-Mail mit dieser Nummer") {
		t.Errorf("status %d, want 503 and no word about the mail", w.Code)
	}
}

func TestEverySentenceOfThePagesHasAGermanText(t *testing.T) { webtest.Words(t, ".", german) }
