package demo

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"doppelboden/sink"
)

// A groupware is a stand-in that can die and return at the same address. It keeps what
// it took across deaths.
type groupware struct {
	addr   string
	sink   *sink.Sink     // nil while dead
	before map[string]int // by Message-ID: what earlier lives took
	died   time.Time
	away   time.Duration
}

func newGroupware() (*groupware, error) {
	g := &groupware{addr: "127.0.0.1:0", before: map[string]int{}}
	if err := g.rise(); err != nil {
		return nil, err
	}
	g.addr = g.sink.Addr()
	return g, nil
}

// rise starts it.
func (g *groupware) rise() error {
	s, err := sink.Start(sink.Options{Listen: g.addr, Keep: sink.Envelopes})
	if err != nil {
		return fmt.Errorf("start the groupware: %w", err)
	}
	g.sink = s
	if !g.died.IsZero() {
		g.away = time.Since(g.died)
	}
	return nil
}

// die ends it and cuts its connections. A dead one stays dead.
func (g *groupware) die() error {
	if g.sink == nil {
		return nil
	}
	err := g.sink.Close()
	g.before = g.all()
	g.sink, g.died = nil, time.Now()
	if err != nil {
		return fmt.Errorf("stop the groupware: %w", err)
	}
	return nil
}

// all returns how often it took each mail, by Message-ID.
func (g *groupware) all() map[string]int {
	all := maps.Clone(g.before)
	if g.sink != nil {
		for id, n := range g.sink.Stats().ByMessageID {
			all[strings.Trim(id, "<>")] += int(n)
		}
	}
	return all
}

// count returns how many different mails it has.
func (g *groupware) count() int { return len(g.all()) }

// outage returns how long it was dead the last time.
func (g *groupware) outage() time.Duration { return g.away }
