package public

import (
	"context"
	"embed"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/web"
)

//go:embed templates
var templates embed.FS

// Store is what the pages need of the database.
type Store interface {
	// ByReceipt returns the id of the message with this receipt. NotFound.
	ByReceipt(ctx context.Context, r doppelboden.Receipt) (doppelboden.ID, error)
	// Message returns a message with its deliveries. NotFound.
	Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error)
}

// Options say what the pages work with. All must be set.
type Options struct {
	Server *web.Server
	Store  Store
	Clock  func() time.Time
}

// Mount adds the pages to the server.
func Mount(o Options) error {
	if o.Server == nil || o.Store == nil || o.Clock == nil {
		return errors.New("public: an option is not set")
	}
	pages, err := o.Server.NewPages(templates, german)
	if err != nil {
		return err
	}
	d := &desk{pages: pages, store: o.Store, asked: limiter{clock: o.Clock}}
	o.Server.Mount("GET /receipt", o.Server.Handler(d.receipt))
	o.Server.Mount("GET /eingang", http.RedirectHandler("/receipt", http.StatusMovedPermanently))
	return nil
}

// desk answers.
type desk struct {
	pages *web.Pages
	store Store
	asked limiter
}

// A view is what the page shows.
type view struct {
	Number string // as it was written, or as it is read
	Wrong  bool   // it is no number at all
	State  State  // "": nothing was asked
}

// receipt tells what became of a mail.
func (d *desk) receipt(w http.ResponseWriter, r *http.Request) error {
	v := view{Number: r.URL.Query().Get("number")}
	if v.Number != "" {
		if !d.asked.may(networkOf(r.RemoteAddr)) {
			w.Header().Set("Retry-After", "60")
			return &doppelboden.Error{Code: doppelboden.Busy, Public: "too many questions from your network"}
		}
		if err := d.find(r.Context(), &v); err != nil {
			return err
		}
	}
	d.pages.Show(w, r, http.StatusOK, "receipt", web.Page{Title: "Did my mail arrive?", Data: v})
	return nil
}

// find looks a number up.
func (d *desk) find(ctx context.Context, v *view) error {
	number, err := doppelboden.ParseReceipt(v.Number)
	if err != nil {
		v.Number, v.Wrong = v.Number[:min(len(v.Number), 40)], true
		return nil
	}
	v.Number, v.State = number.String(), Unknown
	id, err := d.store.ByReceipt(ctx, number)
	if err == nil {
		var m *doppelboden.Message
		if m, err = d.store.Message(ctx, id); err == nil && len(m.Deliveries) > 0 {
			v.State = stateOf(m)
		}
	}
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return nil
	}
	return err
}

// networkOf returns the network that a client counts with: all addresses of one house.
func networkOf(addr string) netip.Prefix {
	host, _, _ := net.SplitHostPort(addr)
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 32
	if a = a.Unmap(); a.Is6() {
		bits = 56
	}
	p, _ := a.WithZone("").Prefix(bits) // never fails for these lengths
	return p
}

const (
	asksAMinute = 30     // of one network: an office that looks after its mails
	networks    = 10_000 // that are remembered; beyond that all share what is left
)

// A limiter counts questions by network within a minute.
type limiter struct {
	clock func() time.Time

	mu     sync.Mutex
	minute time.Time
	asked  map[netip.Prefix]int
}

// may counts one more question.
func (l *limiter) may(p netip.Prefix) bool {
	now := l.clock().Truncate(time.Minute)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !now.Equal(l.minute) || l.asked == nil {
		l.minute, l.asked = now, map[netip.Prefix]int{}
	}
	if _, known := l.asked[p]; !known && len(l.asked) >= networks {
		p = netip.Prefix{}
	}
	l.asked[p]++
	return l.asked[p] <= asksAMinute
}
