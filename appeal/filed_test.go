package appeal

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/queue"
	"doppelboden/store"
)

func TestWhatIsPutStraightIntoOtherMailboxesIsNoWitnessThatTheNextServerTakesMail(t *testing.T) {
	for _, filed := range []bool{true, false} {
		play(t, func(w *world) {
			w.gw.set(refuses) // the next server knows nobody
			w.mail(1, 1, 1)
			time.Sleep(time.Minute)
			w.directory(1)
			for b := doppelboden.BoxID(2); b < 8; b++ {
				it := store.Item{Delivery: doppelboden.Delivery{Message: doppelboden.ID{1, 15: byte(b)}, Box: b, Mailbox: doppelboden.MailboxID(b)}}
				w.a.Judged("stadt/gw", []queue.Judged{{Item: it, Took: true, Filed: filed, At: time.Now(), Written: true}})
			}
			time.Sleep(20 * time.Hour)
			bounced := 3
			if filed {
				bounced = 0
			}
			w.want("after a day", doppelboden.Bounced, bounced)
			w.want("after a day", doppelboden.Held, 3-bounced)
		})
	}
}
