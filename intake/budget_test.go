package intake

import (
	"bytes"
	"testing"
)

func TestTheHeadersOfBigBodiesCountInTheBudget(t *testing.T) {
	const most = 4 << 20
	in, _ := newIntake(t, most)
	line := append([]byte("X-Long: "), append(bytes.Repeat([]byte("x"), 32<<10), "\r\n"...)...)
	var open []*Transaction
	for range 100 {
		tx, err := in.Begin(Envelope{Door: "mx", Peer: "192.0.2.1", Helo: "x"})
		if err != nil {
			break // as it should be when nothing more fits
		}
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "bert@stadt.example")}); err != nil {
			t.Fatal(err)
		}
		for range 9 { // 288 KB of header and no end of it
			if _, err := tx.Write(line); err != nil {
				break
			}
		}
		open = append(open, tx)
	}
	held := int64(0)
	for _, tx := range open {
		held += int64(cap(tx.body.buf) + cap(tx.body.head))
	}
	if held > most {
		t.Errorf("%d transactions hold %d bytes of headers and bodies, the budget is %d and counts %d", len(open), held, most, in.budget.used.Load())
	}
	for _, tx := range open {
		tx.Abort()
	}
	if got := in.budget.used.Load(); got != 0 {
		t.Errorf("after all ended the budget counts %d, want 0", got)
	}
}
