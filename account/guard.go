package account

import (
	"net/netip"
	"sync"
	"time"

	"doppelboden"
)

// Limits of guessing. Who mistypes five times waits a second, then two, four, and so on:
// some 100 tries a day. A network of strangers has 100 wrong tries and ten more a minute;
// the city's own, where thousands of people may share an address, twenty times as many.
const (
	freeTries  = 5
	longestGap = 15 * time.Minute
	forgetOne  = 10 * time.Minute // after so long one wrong try is forgotten

	networkTries = 100
	networkEvery = 6 * time.Second // one more try
	ownFactor    = 20

	// mostTrails bounds what is remembered: some 10 MB. When there is more, it is somebody
	// with very many addresses, and the hashes that are computed at once are the limit.
	mostTrails = 100_000
)

// A trailKey names what tries are counted for.
type trailKey struct {
	who  string // a person, or what somebody typed
	from string // a network, or a known device
}

// A trail is what was wrong so far.
type trail struct {
	wrong int
	at    time.Time // of the last
}

// A pool is how many wrong tries a network has left.
type pool struct {
	left float64
	at   time.Time // when left was counted
}

// A guard makes guessing slow without locking anybody out: what is wrong counts for a
// person and a network together.
type guard struct {
	clock func() time.Time

	mu     sync.Mutex
	trails map[trailKey]trail
	pools  map[string]pool
}

func newGuard(clock func() time.Time) *guard {
	return &guard{clock: clock, trails: map[trailKey]trail{}, pools: map[string]pool{}}
}

// errTries is what somebody hears who has tried too often, whoever she is.
var errTries = &doppelboden.Error{Code: doppelboden.Busy, Public: "too many tries, please wait some minutes"}

// networkOf returns what counts as one network: an IPv4 address, or an IPv6 /64.
func networkOf(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// A visit is one try while it is looked at.
type visit struct {
	g       *guard
	key     trailKey
	before  trail
	network string // "" for a known device, which no network stops
	factor  float64
}

// enter counts a try as wrong before it is looked at, so that many at once are no more
// than one after the other. right or never gives it back.
func (g *guard) enter(who, network, device string, own bool) (*visit, error) {
	now := g.clock()
	g.mu.Lock()
	defer g.mu.Unlock()
	v := &visit{g: g, key: trailKey{who, "n:" + network}, network: network, factor: 1}
	if device != "" {
		v.key.from, v.network = "d:"+device, ""
	}
	if own {
		v.factor = ownFactor
	}
	v.before = g.trails[v.key].faded(now)
	if gap := gapAfter(v.before.wrong); now.Before(v.before.at.Add(gap)) {
		return nil, errTries
	}
	if v.network != "" {
		p := g.poolOf(v.network, v.factor, now)
		if p.left < 1 {
			return nil, errTries
		}
		p.left--
		g.pools[v.network] = p
	}
	g.trails[v.key] = trail{v.before.wrong + 1, now}
	g.sweep(now)
	return v, nil
}

// right forgets what was wrong before: somebody who knows the secret was here.
func (v *visit) right() {
	v.g.mu.Lock()
	defer v.g.mu.Unlock()
	delete(v.g.trails, v.key)
	v.giveBack()
}

// never undoes the try: it was not looked at, or could not be.
func (v *visit) never() {
	v.g.mu.Lock()
	defer v.g.mu.Unlock()
	if now := v.g.trails[v.key]; now.wrong > 0 {
		now.wrong--
		v.g.trails[v.key] = now
	}
	v.giveBack()
}

// giveBack returns the network's try. The caller holds mu.
func (v *visit) giveBack() {
	if v.network == "" {
		return
	}
	p := v.g.poolOf(v.network, v.factor, v.g.clock())
	p.left = min(p.left+1, networkTries*v.factor)
	v.g.pools[v.network] = p
}

// gapAfter returns how long the next try has to wait after so many wrong ones.
func gapAfter(wrong int) time.Duration {
	if wrong < freeTries {
		return 0
	}
	return min(time.Second<<min(wrong-freeTries, 20), longestGap)
}

// faded returns what is left of a trail at a later time.
func (t trail) faded(now time.Time) trail {
	if n := int(now.Sub(t.at) / forgetOne); n > 0 && gapAfter(t.wrong) < now.Sub(t.at) {
		t.wrong = max(t.wrong-n, 0)
	}
	return t
}

// poolOf returns what a network has left now. The caller holds mu.
func (g *guard) poolOf(network string, factor float64, now time.Time) pool {
	most := networkTries * factor
	p, ok := g.pools[network]
	if !ok {
		return pool{most, now}
	}
	return pool{min(most, p.left+factor*float64(now.Sub(p.at))/float64(networkEvery)), now}
}

// sweep forgets what no longer matters when there is much. The caller holds mu.
func (g *guard) sweep(now time.Time) {
	if len(g.trails) > mostTrails {
		for k, t := range g.trails {
			if t.faded(now).wrong == 0 || now.Sub(t.at) > time.Hour {
				delete(g.trails, k)
			}
		}
		for k := range g.trails {
			if len(g.trails) <= mostTrails*9/10 {
				break
			}
			delete(g.trails, k)
		}
	}
	if len(g.pools) > mostTrails {
		for k, p := range g.pools {
			if now.Sub(p.at) > networkTries*networkEvery {
				delete(g.pools, k)
			}
		}
		for k := range g.pools {
			if len(g.pools) <= mostTrails*9/10 {
				break
			}
			delete(g.pools, k)
		}
	}
}
