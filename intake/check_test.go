package intake

import (
	"context"
	"io"
	"strings"
	"testing"

	"doppelboden"
)

// A checkFunc is a Check.
type checkFunc func(*Incoming) (Finding, error)

func (f checkFunc) Check(_ context.Context, in *Incoming) (Finding, error) { return f(in) }

func TestWhatChecksFindStandsInTheMessageTheWorstScanCountsAndTheReasonToHold(t *testing.T) {
	in, f := newIntake(t, 0,
		checkFunc(func(*Incoming) (Finding, error) {
			return Finding{Prefix: []byte("Authentication-Results: x\r\n"), Confirmed: true}, nil
		}),
		checkFunc(func(*Incoming) (Finding, error) {
			return Finding{Prefix: []byte("X-Two: 2\r\n"), Scan: doppelboden.Malware, Hold: "quarantine"}, nil
		}),
		checkFunc(func(*Incoming) (Finding, error) { return Finding{Scan: doppelboden.Clean}, nil }))
	tx := begin(t, in, "anna@stadt.example")
	io.WriteString(tx, "Subject: x\r\n\r\nhello\r\n")
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := f.accepted[0]
	if !m.Confirmed || m.Scan != doppelboden.Malware {
		t.Errorf("confirmed %v, scan %v; want true, malware", m.Confirmed, m.Scan)
	}
	if d := m.Deliveries[0]; d.State != doppelboden.Held || d.Reply != "quarantine" {
		t.Errorf("the delivery is %v (%q), want held (quarantine)", d.State, d.Reply)
	}
	if want := "Authentication-Results: x\r\nX-Two: 2\r\nReceived: "; !strings.HasPrefix(string(m.Prefix), want) {
		t.Errorf("the prefix is %q, want it to begin with %q", m.Prefix, want)
	}
}

func TestAMailThatACheckRefusesIsNotKeptAndLeavesNoBodyBehind(t *testing.T) {
	bad := &doppelboden.Error{Code: doppelboden.Policy, Public: "no"}
	in, f := newIntake(t, 0, checkFunc(func(*Incoming) (Finding, error) { return Finding{}, nil }),
		checkFunc(func(*Incoming) (Finding, error) { return Finding{}, bad }))
	tx := begin(t, in, "anna@stadt.example")
	io.WriteString(tx, "Subject: x\r\n\r\nhello\r\n")
	_, err := tx.Commit(t.Context())
	if doppelboden.CodeOf(err) != doppelboden.Policy || doppelboden.PublicOf(err) != "no" {
		t.Errorf("Commit: %v, want the check's answer", err)
	}
	if len(f.accepted) != 0 || len(f.bodies) != 0 || len(f.log) != 0 {
		t.Errorf("%d messages and %d bodies are kept, the tally has %v; want nothing", len(f.accepted), len(f.bodies), f.log)
	}
	if in.budget.used.Load() != 0 {
		t.Errorf("%d bytes of the budget are still taken", in.budget.used.Load())
	}
}

func TestAChecksSeesTheWholeBodyAndItsHeaderAlsoOfABigMail(t *testing.T) {
	header := "Subject: x\r\nFrom: b@example.net\r\n"
	for name, size := range map[string]int{"small": 100, "big": 3 * inMemory} {
		body := header + "\r\n" + strings.Repeat("0123456789abcd\r\n", size/16)
		var seen [2]string
		read := func(i int) Check {
			return checkFunc(func(in *Incoming) (Finding, error) {
				r, err := in.Open()
				if err != nil {
					return Finding{}, err
				}
				all, err := io.ReadAll(r)
				seen[i] = string(in.Header) + "|" + string(all)
				return Finding{}, err
			})
		}
		in, _ := newIntake(t, 0, read(0), read(1))
		tx := begin(t, in, "anna@stadt.example")
		io.WriteString(tx, body)
		if _, err := tx.Commit(t.Context()); err != nil {
			t.Fatal(name, err)
		}
		for i := range seen {
			if seen[i] != header+"|"+body {
				t.Errorf("%s: check %d saw %d bytes, want %d with the header in front", name, i, len(seen[i]), len(header)+1+len(body))
			}
		}
	}
}
