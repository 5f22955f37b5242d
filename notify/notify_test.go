package notify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

// fake is a gateway and a store, both of which may fail.
type fake struct {
	mu    sync.Mutex
	sent  []doppelboden.Phone
	at    []time.Time
	fail  map[doppelboden.Phone]error
	memos []store.Memo
	lost  error // of the store
	asked int   // how often the gateway was asked
}

func (f *fake) Send(_ context.Context, to doppelboden.Phone, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if err := f.fail[to]; err != nil {
		return err
	}
	f.sent, f.at = append(f.sent, to), append(f.at, time.Now())
	return nil
}

func (f *fake) PutMemos(_ context.Context, list []store.Memo) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost == nil {
		f.memos = append(f.memos, list...)
	}
	return f.lost
}

func (f *fake) Memos(_ context.Context, t doppelboden.TenantID, what string, yield func(store.Memo) error) error {
	f.mu.Lock()
	list := slices.Clone(f.memos)
	err := f.lost
	f.mu.Unlock()
	for _, m := range list {
		if m.Tenant == t && m.What == what {
			err = errors.Join(err, yield(m))
		}
	}
	return err
}

// say makes the gateway answer a number with an error, or nil.
func (f *fake) say(to doppelboden.Phone, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[to] = err
}

// run starts a room on f and returns it with what ends it.
func run(t *testing.T, f *fake, perDay int) (*Room, func()) {
	t.Helper()
	r, err := New(Options{Store: f, Way: func(t doppelboden.TenantID) (Way, bool) { return Way{f, perDay}, t == 1 },
		Clock: time.Now, Timer: clock.Or(nil), Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var over sync.WaitGroup
	over.Go(func() { r.Run(ctx) })
	return r, func() { cancel(); over.Wait() }
}

func aCall(people ...Person) Call {
	return Call{Tenant: 1, About: "event/3", People: people, Text: func(Person) (string, error) { return "x", nil }}
}

// tries is how often the gateway was asked.
func (f *fake) tries() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

var (
	anna = Person{Mailbox: 1, Phone: "+491"}
	bert = Person{Mailbox: 2, Phone: "+492"}
	cara = Person{Mailbox: 3, Phone: "+493"}
)

func TestEverybodyIsToldOnceAlsoAfterARestartAndWhenMoreComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{}}
		r, stop := run(t, f, 100)
		r.Tell(aCall(anna, bert))
		synctest.Wait()
		r.Tell(aCall(anna, bert))
		synctest.Wait()
		stop()
		r, stop = run(t, f, 100)
		r.Tell(aCall(anna, bert, cara))
		synctest.Wait()
		stop()
		if want := []doppelboden.Phone{"+491", "+492", "+493"}; !slices.Equal(f.sent, want) {
			t.Errorf("told were %v, want %v", f.sent, want)
		}
		if s := r.Status(); len(s) != 1 || len(s[0].Told) != 3 || len(s[0].Failed) != 0 {
			t.Errorf("the status is %+v, want three who were told", s)
		}
	})
}

func TestAGatewayThatDoesNotAnswerIsAskedLessAndLessOftenUntilItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{"+492": errors.New("down")}}
		r, stop := run(t, f, 1000)
		defer stop()
		r.Tell(aCall(anna, bert))
		time.Sleep(3 * time.Hour)
		if s := r.Status(); len(s[0].Told) != 1 || s[0].Failed[2] == nil {
			t.Errorf("the status is %+v, want one told and one failed", s)
		}
		if tries := f.tries(); tries < 10 || tries > 40 {
			t.Errorf("%d tries in three hours, want 10 to 40", tries)
		}
		f.say("+492", nil)
		back := time.Now()
		time.Sleep(2 * mostPause)
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.Equal(f.sent, []doppelboden.Phone{"+491", "+492"}) || f.at[1].Sub(back) > mostPause {
			t.Errorf("told were %v, the last %v after the gateway was back", f.sent, f.at[len(f.at)-1].Sub(back))
		}
	})
}

func TestANumberThatTheGatewayRefusesIsLeftAloneForHalfAnHourAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{"+491": unsent{&doppelboden.Error{Code: doppelboden.Policy, Public: "no such number"}}}}
		r, stop := run(t, f, 100)
		defer stop()
		r.Tell(aCall(anna, bert))
		time.Sleep(20 * time.Minute)
		if s := r.Status(); f.tries() != 2 || s[0].Failed[1] == nil || len(s[0].Told) != 1 {
			t.Errorf("%d tries, status %+v; want 2 tries and a reason", f.tries(), s)
		}
		time.Sleep(10 * time.Hour)
		if tries := f.tries(); tries < 15 || tries > 25 {
			t.Errorf("%d tries in ten hours, want one each half hour", tries)
		}
	})
}

func TestWhomARepairedGatewayRefusedBeforeIsToldWithinTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noCredit := unsent{&doppelboden.Error{Code: doppelboden.Policy, Public: "no credit"}}
		f := &fake{fail: map[doppelboden.Phone]error{"+491": noCredit, "+492": noCredit, "+493": noCredit}}
		r, stop := run(t, f, 3)
		defer stop()
		r.Tell(aCall(anna, bert, cara))
		time.Sleep(10 * time.Minute)
		for _, p := range []Person{anna, bert, cara} {
			f.say(p.Phone, nil)
		}
		for range 60 { // as the crisis team is looked up
			r.Tell(aCall(anna, bert, cara))
			time.Sleep(time.Minute)
		}
		if s := r.Status(); len(s[0].Told) != 3 || len(s[0].Failed) != 0 {
			t.Errorf("an hour after the repair the status is %+v, want three who were told", s)
		}
	})
}

func TestANewNumberOfWhoWasRefusedIsTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{"+491": unsent{&doppelboden.Error{Code: doppelboden.Policy, Public: "no such number"}}}}
		r, stop := run(t, f, 100)
		defer stop()
		r.Tell(aCall(anna, bert))
		time.Sleep(5 * time.Minute)
		corrected := anna
		corrected.Phone = "+494"
		r.Tell(aCall(corrected, bert))
		time.Sleep(2 * time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.Equal(f.sent, []doppelboden.Phone{"+492", "+494"}) {
			t.Errorf("told were %v, want also the corrected number", f.sent)
		}
	})
}

func TestAGatewayThatDoesNotKnowUsUsesUpNoSMSOfTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{"+491": unsent{errors.New("wrong password")}}}
		r, stop := run(t, f, 2)
		defer stop()
		r.Tell(aCall(anna))
		time.Sleep(5 * time.Hour)
		f.say("+491", nil)
		time.Sleep(2 * mostPause)
		if s := r.Status(); len(s[0].Told) != 1 {
			t.Errorf("after the repair the status is %+v, want one who was told", s)
		}
	})
}

// TestAnAnswerThatNobodyUnderstandsCountsAsAnSMSOfTheDay holds for a gateway that has sent the
// text, and whose answer is taken for a refusal.
func TestAnAnswerThatNobodyUnderstandsCountsAsAnSMSOfTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{"+491": &doppelboden.Error{Code: doppelboden.Policy, Public: "the SMS gateway answered 200"}}}
		r, stop := run(t, f, 2)
		defer stop()
		r.Tell(aCall(anna))
		time.Sleep(2 * time.Hour)
		if tries := f.tries(); tries != 2 {
			t.Errorf("in two hours she got %d SMS, wanted the two of the day", tries)
		}
	})
}

func TestNoTenantSendsMoreThanItMayInADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{}}
		r, stop := run(t, f, 2)
		defer stop()
		for range 2 {
			if err := r.Send(t.Context(), 1, "+491", "x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Send(t.Context(), 1, "+491", "x"); doppelboden.CodeOf(err) != doppelboden.Busy {
			t.Errorf("the third of two: %v, want busy", err)
		}
		time.Sleep(24 * time.Hour)
		if err := r.Send(t.Context(), 1, "+491", "x"); err != nil {
			t.Errorf("a day later: %v", err)
		}
		if err := r.Send(t.Context(), 2, "+491", "x"); doppelboden.CodeOf(err) != doppelboden.NotFound {
			t.Errorf("a tenant without a gateway: %v, want not found", err)
		}
	})
}

func TestTheBoundOfADayOutlivesARestartAndCountsNoSMSThatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{}}
		send := func(r *Room, p Person) doppelboden.Code {
			err := r.Send(t.Context(), 1, p.Phone, "x")
			if err == nil {
				return -1
			}
			return doppelboden.CodeOf(err)
		}
		r, stop := run(t, f, 2)
		f.say(cara.Phone, unsent{&doppelboden.Error{Code: doppelboden.Policy}})
		for i := range 5 {
			if got := send(r, cara); got != doppelboden.Policy {
				t.Errorf("refused SMS %d: code %v, wanted policy", i, got)
			}
		}
		f.say(bert.Phone, &doppelboden.Error{Code: doppelboden.Temporary}) // perhaps it was sent
		if got := send(r, bert); got != doppelboden.Temporary {
			t.Errorf("an SMS without an answer: code %v", got)
		}
		stop()
		r, stop = run(t, f, 2)
		if first, second := send(r, anna), send(r, anna); first != -1 || second != doppelboden.Busy {
			t.Errorf("after a restart: codes %v and %v, wanted one SMS more of two", first, second)
		}
		stop()
		f.mu.Lock()
		f.lost = errors.New("away")
		f.mu.Unlock()
		time.Sleep(day)
		r, stop = run(t, f, 2)
		defer stop()
		if first, second, third := send(r, anna), send(r, anna), send(r, anna); first != -1 || second != -1 || third != doppelboden.Busy {
			t.Errorf("a day later, without the database: codes %v, %v and %v, wanted two SMS", first, second, third)
		}
	})
}

func TestWithoutTheDatabaseNobodyIsToldTwiceAndAllAreToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{}, lost: errors.New("away"), memos: []store.Memo{{Tenant: 1, Mailbox: 1, What: "sms/event/3"}}}
		r, stop := run(t, f, 100)
		defer stop()
		r.Tell(aCall(anna, bert))
		time.Sleep(time.Minute)
		f.mu.Lock()
		f.lost = nil
		f.mu.Unlock()
		time.Sleep(2 * mostPause)
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.Equal(f.sent, []doppelboden.Phone{"+492"}) {
			t.Errorf("told were %v, want only who was not told before", f.sent)
		}
	})
}

func TestACallThatIsDoneTellsNobodyAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fail: map[doppelboden.Phone]error{"+491": errors.New("down")}}
		r, stop := run(t, f, 100)
		defer stop()
		r.Tell(aCall(anna))
		synctest.Wait()
		r.Done(1, "event/3")
		f.say("+491", nil)
		time.Sleep(time.Hour)
		if len(f.sent) != 0 || len(r.Status()) != 0 {
			t.Errorf("told were %v after the call was done", f.sent)
		}
	})
}
