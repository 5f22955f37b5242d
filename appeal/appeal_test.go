package appeal

import (
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/queue"
)

// play runs a test in a bubble with a clock of its own.
func play(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		test(w)
		w.end()
	})
}

// boxes returns the mailboxes 1 to n.
func boxes(n int) (all []doppelboden.BoxID) {
	for i := range n {
		all = append(all, doppelboden.BoxID(i+1))
	}
	return all
}

func TestWhatAHalfRestoredGroupwareRefusedIsAllDeliveredInOrderByItself(t *testing.T) {
	play(t, func(w *world) {
		w.gw.set(refuses)
		for range 5 {
			w.mail(boxes(300)...)
		}
		time.Sleep(10 * time.Minute)
		w.want("ten minutes of 550", doppelboden.Held, 1500)
		if n := w.gw.tries(); n > 1501 {
			t.Errorf("%d tries of 1500 mails within ten minutes, want one each", n)
		}
		time.Sleep(3 * time.Hour)
		if n := w.gw.tries(); n < 1503 || n > 1510 {
			t.Errorf("%d tries of 1500 mails after three hours, want one for each and one more now and then", n)
		}
		w.gw.set(takes)
		time.Sleep(90 * time.Minute)
		w.want("90 minutes after the groupware was well", doppelboden.Delivered, 1500)
		w.ordered()
	})
}

func TestWhenOthersAreTakenAgainWhatWasRefusedFollowsAtOnce(t *testing.T) {
	play(t, func(w *world) {
		w.mail(200)
		time.Sleep(time.Minute)
		w.gw.set(refuses)
		w.mail(boxes(100)...)
		time.Sleep(2 * time.Minute)
		w.gw.set(takes)
		w.mail(201)
		time.Sleep(5 * time.Second)
		w.want("five seconds after the first success", doppelboden.Delivered, 102)
	})
}

func TestAMailboxThatTakesMailAgainGetsWhatItWasRefused(t *testing.T) {
	play(t, func(w *world) {
		w.gw.set(func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Box == 1 {
				return refuses(d)
			}
			return takes(d)
		})
		w.mail(1, 1, 1, 2, 3, 4)
		time.Sleep(2 * time.Minute)
		w.want("refused", doppelboden.Held, 3)
		w.gw.set(takes)
		w.mail(1)
		time.Sleep(3 * time.Second)
		w.want("after a new mail was taken", doppelboden.Delivered, 7)
	})
}

func TestOneMailboxThatIsGoneDoesNotKeepTheOthersOfItsGroupWaiting(t *testing.T) {
	play(t, func(w *world) {
		w.gw.set(refuses)
		w.mail(boxes(50)...)
		time.Sleep(time.Minute)
		w.gw.set(func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Box <= 2 { // among them the first that is asked
				return refuses(d)
			}
			return takes(d)
		})
		time.Sleep(4 * time.Hour)
		w.want("four hours later", doppelboden.Delivered, 48)
	})
}

func TestAMailboxThatIsGoneIsReturnedWhenOthersTakeMailAndAFreshDirectoryDoesNotListIt(t *testing.T) {
	gone := func(d doppelboden.Delivery) doppelboden.Outcome {
		if d.Box == 1 {
			return refuses(d)
		}
		return takes(d)
	}
	for _, c := range []struct {
		name     string
		say      func(doppelboden.Delivery) doppelboden.Outcome
		others   []doppelboden.BoxID // that take mail after the refusal
		read     bool                // the directory, after the refusal
		without  []doppelboden.BoxID
		returned int
	}{
		{"both", gone, []doppelboden.BoxID{2, 3, 4}, true, []doppelboden.BoxID{1}, 3},
		{"a directory that is of before the refusal", gone, []doppelboden.BoxID{2, 3, 4}, false, []doppelboden.BoxID{1}, 0},
		{"a directory that lists it", gone, []doppelboden.BoxID{2, 3, 4}, true, nil, 0},
		{"no other mailbox takes mail", gone, nil, true, []doppelboden.BoxID{1}, 0},
		{"one other mailbox takes mail", gone, []doppelboden.BoxID{2, 2, 2, 2}, true, []doppelboden.BoxID{1}, 0},
		{"it was not its mailbox that was refused", func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Box == 1 {
				return relay(d)
			}
			return takes(d)
		}, []doppelboden.BoxID{2, 3, 4}, true, []doppelboden.BoxID{1}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, func(w *world) {
				w.gw.set(c.say)
				w.mail(2, 3, 4, 5) // before
				w.directory(c.without...)
				time.Sleep(time.Second)
				w.mail(1, 1, 1)
				time.Sleep(time.Minute)
				w.mail(c.others...)
				if c.read {
					w.directory(c.without...)
				}
				time.Sleep(48 * time.Hour)
				w.want(c.name, doppelboden.Bounced, c.returned)
				w.want(c.name, doppelboden.Held, 3-c.returned)
			})
		})
	}
}

func TestWhatTheDirectoryDoesNotListButTheGroupwareTakesIsDeliveredAndNotReturned(t *testing.T) {
	play(t, func(w *world) {
		w.gw.set(func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Box == 1 {
				return refuses(d)
			}
			return takes(d)
		})
		w.mail(1)
		time.Sleep(time.Minute)
		w.gw.set(takes)
		w.mail(2, 3, 4)
		w.directory(1)
		time.Sleep(time.Minute)
		w.want("a minute later", doppelboden.Delivered, 4)
	})
}

func TestWhatAPersonHoldsIsNotTried(t *testing.T) {
	play(t, func(w *world) {
		w.gw.set(refuses)
		w.mail(boxes(10)...)
		time.Sleep(time.Minute)
		d := queue.Decision{Verb: queue.Hold, By: "anna", Why: "looks odd"}
		d.Filter.States = []doppelboden.State{doppelboden.Held}
		if n, err := w.queue.Decide(t.Context(), d); n != 10 || err != nil {
			t.Fatalf("a person holds what was refused: %d, %v", n, err)
		}
		w.gw.set(takes)
		w.mail(1, 2, 3, 4, 5, 6)
		time.Sleep(24 * time.Hour)
		w.want("a day later", doppelboden.Held, 10)
	})
}

func TestAGroupwareThatRefusesEveryMailWithWordsOfItsOwnIsNotStormed(t *testing.T) {
	play(t, func(w *world) {
		words := []string{"eins", "zwei", "drei", "vier", "acht", "neun", "zehn", "elf", "zwanzig", "dreissig"}
		w.gw.set(func(d doppelboden.Delivery) doppelboden.Outcome {
			o := refuses(d)
			o.Reply.Text = "5.1.1 " + words[d.Seq%10] + " " + words[d.Seq/10%10] + " " + words[d.Seq/100%10]
			return o
		})
		w.mail(boxes(500)...)
		time.Sleep(10*time.Minute + 30*time.Second)
		if n := w.gw.tries(); n > 500+3*mostFirst {
			t.Errorf("%d tries of 500 mails", n)
		}
		w.gw.set(takes)
		time.Sleep(3 * time.Hour)
		w.want("in the end", doppelboden.Delivered, 500)
	})
}

func TestAfterARestartWhatWasRefusedIsTriedAgain(t *testing.T) {
	play(t, func(w *world) {
		w.gw.set(refuses)
		w.mail(boxes(100)...)
		time.Sleep(time.Minute)
		w.end()
		w.gw.set(takes)
		w.start()
		time.Sleep(2 * time.Minute)
		w.want("two minutes after the restart", doppelboden.Delivered, 100)
	})
}
