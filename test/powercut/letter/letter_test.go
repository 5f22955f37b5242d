package letter

import (
	"bytes"
	"slices"
	"testing"
)

func TestALetterFollowsFromItsNumber(t *testing.T) {
	dots, big, several := false, false, false
	for n := range int64(600) {
		l := Of(n + 1)
		if again := Of(n + 1); !bytes.Equal(l.Data, again.Data) || !slices.Equal(l.Recipients, again.Recipients) {
			t.Fatalf("letter %d differs from itself", n+1)
		}
		if got := Recipients(n + 1); !slices.Equal(got, l.Recipients) {
			t.Fatalf("letter %d: recipients %v, want %v", n+1, got, l.Recipients)
		}
		dots = dots || bytes.Contains(l.Data, []byte("\r\n."))
		big = big || len(l.Data) > 256<<10
		several = several || len(l.Recipients) > 1
	}
	if !dots || !big || !several {
		t.Errorf("600 letters: line with a dot %v, over 256 KiB %v, several recipients %v; want all", dots, big, several)
	}
}

func TestCheckFindsEveryChange(t *testing.T) {
	l := Of(7)
	carried := append([]byte("Received: from here\r\n"), l.Data...)
	if n, ok := Check(carried); n != 7 || !ok {
		t.Fatalf("an intact letter: %d, %v; want 7, true", n, ok)
	}
	for i := 0; i < len(l.Data); i += 7 {
		changed := bytes.Clone(carried)
		changed[len(carried)-1-i] ^= 1
		if n, ok := Check(changed); ok {
			t.Fatalf("byte %d from the end changed: %d is said to be intact", i, n)
		}
	}
	for _, cut := range []int{1, 2, 100, len(l.Data) / 2} {
		if n, ok := Check(carried[:len(carried)-cut]); ok {
			t.Errorf("without its last %d bytes, %d is said to be intact", cut, n)
		}
	}
	if n, ok := Check(append(carried, "\r\n"...)); ok {
		t.Errorf("with a line more, %d is said to be intact", n)
	}
}

func TestMailboxIsTheReverseOfAddress(t *testing.T) {
	for i := range Mailboxes {
		if got, ok := Mailbox(Address(i)); got != i || !ok {
			t.Errorf("%s: %d, %v; want %d", Address(i), got, ok, i)
		}
	}
	if got, ok := Mailbox("amt20@stadt.example"); ok {
		t.Errorf("an unknown address is mailbox %d", got)
	}
}
