package storetest

import (
	"os"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

// crashNotices makes the child that is killed bounce its messages: "together" with their
// notices, or "apart", in two commits, which is the fault that the test must find.
const crashNotices = "STORETEST_CRASH_NOTICES"

func testNoticeCrash(t *testing.T, open Open) {
	t.Run("after kill -9 every bounce has its notice and every notice its bounce", func(t *testing.T) {
		for range 2 {
			if odd, bounced := unpaired(t, open, "together"); odd != 0 || bounced < crashAfter {
				t.Errorf("%d of %d bounces or notices stand alone", odd, bounced)
			}
		}
	})
	t.Run("this test finds a notice that is written apart from its bounce", func(t *testing.T) {
		for range 10 {
			if odd, _ := unpaired(t, open, "apart"); odd > 0 {
				return
			}
		}
		t.Errorf("ten crashes between bounces and their notices, and all were paired")
	})
}

// unpaired kills a child that bounces, and counts bounces without exactly one notice and
// notices without a bounce.
func unpaired(t *testing.T, open Open, mode string) (odd, bounced int) {
	dir, acked := kill(t, crashNotices+"="+mode)
	s := open(t, Setup{Dir: dir, Chain: newChain("after"), Clock: nil})
	defer s.Close()
	rows := gather(t, func(y func(store.Item) error) error { return s.Deliveries(ctx, store.Filter{}, y) })
	state := map[doppelboden.ID]doppelboden.State{}
	for _, it := range rows {
		if it.Message.Class == doppelboden.ClassNotice {
			continue
		}
		id := it.Delivery.Message
		state[id] = it.Delivery.State
		notices, err := s.Notices(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if it.Delivery.State == doppelboden.Bounced {
			bounced++
			want = 1
		}
		if len(notices) != want {
			odd++
		}
	}
	for _, id := range acked {
		if state[id] != doppelboden.Bounced {
			t.Errorf("the bounce of %s was written, and its message is %v", id, state[id])
		}
	}
	return odd, bounced
}

// bounceForEver accepts and bounces messages until the process is killed.
func bounceForEver(w *world, box doppelboden.Mailbox, apart bool) {
	lease, err := w.s.Join(ctx, "node", w.clock())
	w.must(err)
	for range 16 {
		go func() {
			for {
				m := w.message(box)
				if _, err := w.s.Accept(ctx, m); err != nil {
					w.t.Error(err)
					return
				}
				n := w.notice(box, ref(m, 0))
				end := doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Bounced, At: w.clock(), Generated: n}
				if apart {
					end.Generated = nil
				}
				if err := w.s.Settle(ctx, lease, []doppelboden.Settlement{end}); err != nil {
					w.t.Error(err)
					return
				}
				os.Stdout.WriteString("ack " + m.ID.String() + "\n")
				if apart {
					w.s.Accept(ctx, n) // it may die before
				}
			}
		}()
	}
	select {}
}
