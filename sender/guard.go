package sender

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"doppelboden"
)

// Options of a Book. Zero takes the default.
type Options struct {
	Clock func() time.Time // default time.Now
	// Tries is how many wrong passwords an IPv4 address, or an IPv6 /64, may send at
	// once: 10, more than anybody mistypes.
	Tries int
	// Every is after how long it may send one more: 1 minute. That is 1,500 a day, of
	// the 2^128 that NewPassword makes.
	Every time.Duration
	// AtOnce bounds the passwords that are being hashed: 2. Each takes 64 MiB and a
	// tenth of a second of up to four processors, which acceptance needs more.
	AtOnce int
	// Patience is how long a log-in waits for its turn: 10 seconds.
	Patience time.Duration
}

const (
	// mostPeers bounds the addresses that are remembered for wrong passwords: 1 MB. When
	// there are more, it is somebody who has many, and no limit by address helps.
	mostPeers = 10_000
	// mostRemembered bounds the passwords that were right: far more than senders.
	mostRemembered = 10_000
)

// A guard makes guessing slow.
type guard struct {
	opts   Options
	nobody Hash          // what the password of an unknown user is compared with
	turns  chan struct{} // one for each password that is being hashed
	key    [32]byte      // of the sums

	mu    sync.Mutex
	tries map[netip.Addr]tries
	right map[[32]byte]bool // sums of what was right
}

// tries are the wrong passwords of one address.
type tries struct {
	left int
	at   time.Time // when left was counted
}

func newGuard(o Options) *guard {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Tries <= 0 {
		o.Tries = 10
	}
	if o.Every <= 0 {
		o.Every = time.Minute
	}
	if o.AtOnce <= 0 {
		o.AtOnce = 2
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	g := &guard{opts: o, turns: make(chan struct{}, o.AtOnce), tries: map[netip.Addr]tries{}, right: map[[32]byte]bool{},
		nobody: Hash{memory: hashMemory, passes: hashPasses, lanes: hashLanes, salt: make([]byte, saltSize), sum: make([]byte, hashSize)}}
	rand.Read(g.key[:]) // never fails: crypto/rand ends the program instead
	return g
}

// sum names a password of a sender. It changes with the hash, so that an old password is
// forgotten when a new one is set.
func (g *guard) sum(s Sender, password string) [32]byte {
	m := hmac.New(sha256.New, g.key[:])
	for _, part := range []string{s.Key, s.Hash.String(), password} {
		var length [8]byte
		for i := range length {
			length[i] = byte(len(part) >> (8 * i))
		}
		m.Write(length[:])
		m.Write([]byte(part))
	}
	return [32]byte(m.Sum(nil))
}

// remembers reports whether this password was right before. Such a log-in costs next to
// nothing, and no limit holds for it: devices log in for every mail, and must get in also
// while somebody guesses.
func (g *guard) remembers(s Sender, password string) bool {
	sum := g.sum(s, password)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.right[sum]
}

func (g *guard) remember(s Sender, password string) {
	sum := g.sum(s, password)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.right) >= mostRemembered {
		clear(g.right)
	}
	g.right[sum] = true
}

// enter waits for a turn to hash a password, or says why there is none.
func (g *guard) enter(ctx context.Context, peer netip.Addr) error {
	busy := func(text string) error { return &doppelboden.Error{Code: doppelboden.Busy, Public: text} }
	if g.left(peer) < 1 {
		return busy("too many wrong passwords from your address, please try again later")
	}
	timer := time.NewTimer(g.opts.Patience)
	defer timer.Stop()
	select {
	case g.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	return busy("too many log-ins at this moment, please try again")
}

func (g *guard) leave() { <-g.turns }

// left returns how many wrong passwords an address may still send.
func (g *guard) left(peer netip.Addr) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count(owner(peer)).left
}

// count returns the tries of an address as they are now. The caller holds the lock.
func (g *guard) count(peer netip.Addr) tries {
	now := g.opts.Clock()
	t, ok := g.tries[peer]
	if !ok {
		return tries{g.opts.Tries, now}
	}
	if more := int(now.Sub(t.at) / g.opts.Every); more > 0 {
		t.left, t.at = min(g.opts.Tries, t.left+more), t.at.Add(time.Duration(more)*g.opts.Every)
	}
	return t
}

// failed notes a wrong password.
func (g *guard) failed(peer netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	peer = owner(peer)
	if len(g.tries) >= mostPeers {
		for p := range g.tries {
			if g.count(p).left == g.opts.Tries {
				delete(g.tries, p)
			}
		}
		if len(g.tries) >= mostPeers {
			clear(g.tries)
		}
	}
	t := g.count(peer)
	t.left--
	g.tries[peer] = t
}

// owner returns what stands for all addresses of one owner: an IPv4 address, or an IPv6
// /64, which is the least that anybody gets.
func owner(peer netip.Addr) netip.Addr {
	peer = peer.Unmap().WithZone("")
	if p, err := peer.Prefix(64); peer.Is6() && err == nil {
		return p.Addr()
	}
	return peer
}
