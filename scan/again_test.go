package scan

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A town is a store, bodies and a queue in memory.
type town struct {
	mu          sync.Mutex
	messages    map[doppelboden.ID]*doppelboden.Message
	texts       map[string]string // bodies by segment
	puts        int
	admitted    []doppelboden.ID
	quarantined map[doppelboden.ID]string
	broken      bool // the store does not work
}

func newTown() *town {
	return &town{messages: map[doppelboden.ID]*doppelboden.Message{}, texts: map[string]string{}, quarantined: map[doppelboden.ID]string{}}
}

// add keeps a message.
func (w *town) add(n byte, text string, state doppelboden.ScanState, received time.Time) *doppelboden.Message {
	m := &doppelboden.Message{
		ID: doppelboden.ID{0: 1, 15: n}, Tenant: tenant, Door: "mx", Received: received, Scan: state,
		Body:       doppelboden.Body{Segment: string('a' + rune(n)), Size: int64(len(text))},
		Prefix:     []byte("Received: ours\r\n"),
		Deliveries: []doppelboden.Delivery{{Seq: int64(n), Recipient: doppelboden.Address{Local: "anna", Domain: "stadt.example"}}},
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.messages[m.ID], w.texts[m.Body.Segment] = m, text
	return m
}

func (w *town) Message(_ context.Context, id doppelboden.ID) (*doppelboden.Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.messages[id]
	if !ok {
		return nil, &doppelboden.Error{Code: doppelboden.NotFound}
	}
	if w.broken {
		return nil, errors.New("the disk hangs")
	}
	one := *m
	return &one, nil
}

func (w *town) PutScans(_ context.Context, list []store.Scan) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return errors.New("the disk hangs")
	}
	w.puts++
	for _, one := range list {
		m := w.messages[one.Message]
		m.Scan, m.Scanned = one.State, one.At
		if len(one.Prefix) > 0 {
			m.Prefix = one.Prefix
		}
	}
	return nil
}

func (w *town) Unscanned(_ context.Context, t doppelboden.TenantID, after int64, limit int) ([]store.Unscanned, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []store.Unscanned
	for _, m := range w.messages {
		if m.Scan == doppelboden.Unscanned && m.Deliveries[0].Seq > after {
			list = append(list, store.Unscanned{Message: m.ID, Seq: m.Deliveries[0].Seq, Since: scannedAt(m)})
		}
	}
	slices.SortFunc(list, func(a, b store.Unscanned) int { return cmp.Compare(a.Seq, b.Seq) })
	return list[:min(limit, len(list))], nil
}

func (w *town) UnscannedCounts(context.Context) ([]store.UnscannedCount, error) {
	return []store.UnscannedCount{{Tenant: tenant}}, nil
}

func (w *town) Reader(_ doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(w.texts[b.Segment])), nil
}

func (w *town) Admitted(m *doppelboden.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.admitted = append(w.admitted, m.ID)
}

func (w *town) Quarantine(_ context.Context, id doppelboden.ID, why string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quarantined[id] = why
	return nil
}

// state returns what is kept of a message.
func (w *town) state(m *doppelboden.Message) doppelboden.ScanState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.messages[m.ID].Scan
}

// A clamFake answers FOUND for mails that hold "bad", hangs for those that hold "bomb",
// and is dead while asleep.
type clamFake struct {
	*fake
	asleep atomic.Bool
	asked  atomic.Int64
}

func newClamFake(t *testing.T) *clamFake {
	c := &clamFake{}
	c.fake = newFake(t, func(conn *fakeConn) {
		if c.asleep.Load() {
			return
		}
		text := &strings.Builder{}
		if !drainStreamTo(conn, text) {
			return
		}
		c.asked.Add(1)
		switch {
		case strings.Contains(text.String(), "bomb"):
			waitForEnd(conn)
		case strings.Contains(text.String(), "bad"):
			io.WriteString(conn, "stream: Bad.Thing FOUND\x00")
		default:
			io.WriteString(conn, "stream: OK\x00")
		}
	})
	return c
}

// again returns what scans a town's mail again with a plan, and the time that it goes by.
func again(t *testing.T, w *town, p Plan) (a *Again, pass func(time.Duration)) {
	t.Helper()
	now := atomic.Int64{}
	now.Store(day.UnixNano())
	clock := func() time.Time { return time.Unix(0, now.Load()).UTC() }
	if p.Deadline == 0 {
		p.Deadline = time.Second
	}
	s, _ := newStation(t, p)
	s.opts.Clock = clock
	for _, one := range s.all() {
		one.clock = clock
	}
	a, err := NewAgain(AgainOptions{Station: s, Store: w, Bodies: w, Queue: w, Log: slog.New(slog.DiscardHandler), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return a, func(d time.Duration) { now.Add(int64(d)) }
}

// day is when these tests begin.
var day = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func TestWhatIsUnscannedIsScannedAndThenGoesOrStays(t *testing.T) {
	w, clam := newTown(), newClamFake(t)
	a, _ := again(t, w, Plan{ClamAV: []string{clam.url(ClamAV)}, Patience: time.Hour, Fresh: time.Hour})
	good, bad := w.add(1, "good", doppelboden.Unscanned, day), w.add(2, "bad", doppelboden.Unscanned, day)
	for _, m := range []*doppelboden.Message{good, bad} {
		if r := a.Admit(t.Context(), m); r.Admit != nil || r.Hold != "" || r.Alone || !r.Until.After(day) {
			t.Errorf("before it is scanned: %+v, want it to wait with its mailbox", r)
		}
	}
	if err := a.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.state(good) != doppelboden.Clean || len(w.admitted) != 1 || w.admitted[0] != good.ID {
		t.Errorf("the good one is %v, admitted %v; want clean and told to the queue", w.state(good), w.admitted)
	}
	if w.state(bad) != doppelboden.Malware || w.quarantined[bad.ID] != "Bad.Thing (ClamAV)" {
		t.Errorf("the bad one is %v, quarantined as %q", w.state(bad), w.quarantined[bad.ID])
	}
	if got := string(w.messages[good.ID].Prefix); got != "X-Virus-Scanned: ClamAV at mx.stadt.example\r\nReceived: ours\r\n" {
		t.Errorf("prefix of the good one %q", got)
	}
	for m, admitted := range map[*doppelboden.Message]bool{good: true, bad: false} {
		now, err := w.Message(t.Context(), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if r := a.Admit(t.Context(), now); (r.Admit != nil) != admitted || !admitted && !strings.HasPrefix(r.Hold, Quarantine) {
			t.Errorf("%v mail at the gate: %+v", now.Scan, r)
		}
	}
}

func TestWhileNoScannerWorksMailWaitsAndGoesWithAMarkWhenItsTimeIsOver(t *testing.T) {
	for _, c := range []struct {
		name     string
		patience time.Duration
		goes     bool
	}{{"eight hours", 8 * time.Hour, true}, {"for ever", -1, false}} {
		w := newTown()
		a, pass := again(t, w, Plan{ClamAV: []string{"tcp://127.0.0.1:1"}, Patience: c.patience, Fresh: 4 * time.Hour})
		m := w.add(1, "good", doppelboden.Unscanned, day)
		for range 20 {
			if err := a.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			pass(20 * time.Minute)
		}
		if got := w.state(m); got != doppelboden.Unscanned || len(w.admitted) > 0 {
			t.Fatalf("%s: after less than seven hours %v, admitted %v", c.name, got, w.admitted)
		}
		if r := a.Admit(t.Context(), m); r.Admit != nil || r.Alone {
			t.Errorf("%s: the gate rules %+v, want wait", c.name, r)
		}
		if len(a.kick) > 0 {
			t.Errorf("%s: everything is to be looked through although no scanner works", c.name)
		}
		pass(2 * time.Hour)
		if err := a.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if went := len(w.admitted) == 1 && w.state(m) == doppelboden.Waived; went != c.goes {
			t.Errorf("%s: after more than eight hours %v, admitted %v; want it to go: %v", c.name, w.state(m), w.admitted, c.goes)
		}
		if marked := strings.Contains(string(w.messages[m.ID].Prefix), VirusField+": NO, ClamAV at"); marked != c.goes {
			t.Errorf("%s: prefix %q", c.name, w.messages[m.ID].Prefix)
		}
	}
}

func TestAfterAnOutageMailIsScannedOnceMoreBeforeItGoes(t *testing.T) {
	w, clam := newTown(), newClamFake(t)
	a, pass := again(t, w, Plan{ClamAV: []string{clam.url(ClamAV)}, Patience: time.Hour, Fresh: 4 * time.Hour})
	w.add(1, "good", doppelboden.Clean, day)
	young, _ := w.Message(t.Context(), doppelboden.ID{0: 1, 15: 1}) // as the queue has it in memory
	if r := a.Admit(t.Context(), young); r.Admit != young || clam.asked.Load() != 0 {
		t.Errorf("a young mail: %+v after %d scans, want it to go at once", r, clam.asked.Load())
	}
	pass(5 * time.Hour)
	if r := a.Admit(t.Context(), young); r.Admit == nil || clam.asked.Load() != 1 || w.state(young) != doppelboden.Clean {
		t.Errorf("after five hours: %+v after %d scans, want one scan and then go", r, clam.asked.Load())
	}
	now, _ := w.Message(t.Context(), young.ID)
	if r := a.Admit(t.Context(), now); r.Admit == nil || clam.asked.Load() != 1 {
		t.Errorf("a moment later: %+v after %d scans, want no second scan", r, clam.asked.Load())
	}
	if r := a.Admit(t.Context(), young); r.Admit == nil || clam.asked.Load() != 1 {
		t.Errorf("for another recipient, who knows nothing of the scan: %+v after %d scans, want no second scan", r, clam.asked.Load())
	}
	worse := w.add(2, "bad", doppelboden.Clean, day) // the signature came during the outage
	if r := a.Admit(t.Context(), worse); r.Admit != nil || r.Hold != "quarantine: Bad.Thing (ClamAV)" || w.state(worse) != doppelboden.Malware {
		t.Errorf("what was clean this morning and is known now: %+v, %v", r, w.state(worse))
	}
	clam.asleep.Store(true)
	third := w.add(3, "good", doppelboden.Clean, day)
	r := a.Admit(t.Context(), third)
	if r.Admit != nil || r.Hold != "" || w.state(third) != doppelboden.Unscanned {
		t.Errorf("when the scanner is dead: %+v, %v; want it to wait, unscanned", r, w.state(third))
	}
	if since := w.messages[third.ID].Scanned; !since.Equal(day.Add(5 * time.Hour)) {
		t.Errorf("its patience counts from %v, want from now on", since)
	}
	notice := w.add(4, "bad", doppelboden.NotScanned, day)
	notice.Door = "generated"
	before := w.add(5, "bad", doppelboden.NotScanned, day.Add(5*time.Hour))
	waived := w.add(6, "bad", doppelboden.Waived, day)
	clam.asleep.Store(false)
	for m, goes := range map[*doppelboden.Message]bool{notice: true, before: false, waived: true} {
		if r := a.Admit(t.Context(), m); (r.Admit != nil) != goes {
			t.Errorf("%s mail, %v: %+v, want it to go: %v", m.Door, m.Scan, r, goes)
		}
	}
}

func TestAMailThatNoScannerGetsThroughIsSteppedOverAndTriedLessAndLessOften(t *testing.T) {
	w, clam := newTown(), newClamFake(t)
	a, pass := again(t, w, Plan{ClamAV: []string{clam.url(ClamAV)}, Deadline: 50 * time.Millisecond, Patience: 8 * time.Hour, Fresh: time.Hour})
	bomb := w.add(1, "bomb", doppelboden.Unscanned, day)
	for range 60 { // an hour
		if err := a.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
	}
	if n := clam.asked.Load(); n < 4 || n > 20 {
		t.Errorf("tried %d times in an hour, want some, and not each minute", n)
	}
	if !a.opts.Station.works(a.opts.Station.Plan(tenant)) {
		t.Error("the scanner counts as dead because of one mail")
	}
	if r := a.Admit(t.Context(), bomb); r.Admit != nil || !r.Alone {
		t.Errorf("the gate rules %+v, want that other mail may go before it", r)
	}
}

func TestWithoutAPlanEverythingGoes(t *testing.T) {
	w := newTown()
	a, _ := again(t, w, Plan{})
	for i, state := range []doppelboden.ScanState{doppelboden.NotScanned, doppelboden.Clean, doppelboden.Spam} {
		m := w.add(byte(i), "x", state, day.Add(-240*time.Hour))
		if r := a.Admit(t.Context(), m); r.Admit != m {
			t.Errorf("%v: %+v, want it to go", state, r)
		}
	}
	m := w.add(9, "x", doppelboden.Unscanned, day) // since then the scanners were taken out of city.toml
	if err := a.look(t.Context()); err != nil || len(w.admitted) != 1 || w.state(m) != doppelboden.Waived {
		t.Errorf("unscanned mail without scanners: %v, admitted %v, err %v; want it to go", w.state(m), w.admitted, err)
	}
}

func TestAStoreThatDoesNotWorkLetsNothingThrough(t *testing.T) {
	w, clam := newTown(), newClamFake(t)
	a, _ := again(t, w, Plan{ClamAV: []string{clam.url(ClamAV)}, Patience: 0, Fresh: time.Hour})
	old, waits := w.add(1, "good", doppelboden.Clean, day.Add(-24*time.Hour)), w.add(2, "good", doppelboden.Unscanned, day)
	w.broken = true
	if err := a.look(t.Context()); err != nil {
		t.Error(err)
	}
	for _, m := range []*doppelboden.Message{old, waits} {
		if r := a.Admit(t.Context(), m); r.Admit != nil || r.Hold != "" {
			t.Errorf("%v mail: %+v, want it to wait", m.Scan, r)
		}
	}
	if len(w.admitted) > 0 {
		t.Errorf("admitted %v although nothing could be written", w.admitted)
	}
}

func TestTheDoor(t *testing.T) {
	s, _ := newStation(t, Plan{ClamAV: []string{"tcp://127.0.0.1:1"}})
	bad := Result{State: doppelboden.Malware, Malware: "Bad.Thing", Scanner: ClamAV}
	spammy := Result{State: doppelboden.Spam, rspamd: report{state: spam, score: 20}}
	for _, c := range []struct {
		name      string
		plan      Plan
		result    Result
		mayRefuse bool
		refused   bool
		hold      string
	}{
		{"malware is refused", Plan{RefuseMalware: true}, bad, true, true, ""},
		{"malware is kept by choice", Plan{}, bad, true, false, "quarantine: Bad.Thing (ClamAV)"},
		{"malware from a trusted hop is kept", Plan{RefuseMalware: true}, bad, false, false, "quarantine: Bad.Thing (ClamAV)"},
		{"spam is marked", Plan{RefuseMalware: true}, spammy, true, false, ""},
		{"spam is refused by choice", Plan{RejectScore: 15}, spammy, true, true, ""},
		{"spam below the score is marked", Plan{RejectScore: 25}, spammy, true, false, ""},
		{"spam from a trusted hop is marked", Plan{RejectScore: 15}, spammy, false, false, ""},
		{"unscanned mail is taken", Plan{RefuseMalware: true, RejectScore: 1}, Result{State: doppelboden.Unscanned}, true, false, ""},
	} {
		j, err := s.judge(&c.plan, c.result, c.mayRefuse)
		if (err != nil) != c.refused || err != nil && doppelboden.CodeOf(err) != doppelboden.Policy {
			t.Errorf("%s: %v", c.name, err)
		}
		if j.Hold != c.hold || j.State != c.result.State {
			t.Errorf("%s: hold %q, state %v", c.name, j.Hold, j.State)
		}
		if strings.Contains(doppelboden.PublicOf(err), "Bad.Thing") {
			t.Errorf("%s: the sender learns what our scanner said: %s", c.name, doppelboden.PublicOf(err))
		}
	}
	if j, err := s.Door(t.Context(), 4711, mailText("x")); err != nil || j.State != doppelboden.NotScanned {
		t.Errorf("a tenant without scanners: %+v, %v", j, err)
	}
}
