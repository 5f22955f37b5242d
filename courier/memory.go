package courier

import (
	"sync"
	"time"
)

// A Memory is what agents know together of hosts that did not work, so that each new
// connection does not wait for the same dead host again. It is bounded.
type Memory struct {
	mu    sync.Mutex
	hosts map[string]mark // by Host.Addr
}

// mostRemembered bounds a Memory: about 1 MB. Towards the Internet some hundred hosts
// fail at a time.
const mostRemembered = 10_000

// A mark is what is remembered of a host; see host.
type mark struct {
	failed time.Time
	fails  int
	noTLS  time.Time
}

// NewMemory returns an empty memory.
func NewMemory() *Memory { return &Memory{hosts: map[string]mark{}} }

// recall fills in what is known of h.
func (m *Memory) recall(h *host) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.hosts[h.Addr]
	h.failed, h.fails, h.noTLS = k.failed, k.fails, k.noTLS
}

// note remembers h. Hosts that work need no place; when there is none left, what is known
// of any other is forgotten, which costs one time-out at most.
func (m *Memory) note(h *host) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.fails == 0 && h.noTLS.IsZero() {
		delete(m.hosts, h.Addr)
		return
	}
	for addr := range m.hosts {
		if len(m.hosts) < mostRemembered {
			break
		}
		delete(m.hosts, addr)
	}
	m.hosts[h.Addr] = mark{h.failed, h.fails, h.noTLS}
}
