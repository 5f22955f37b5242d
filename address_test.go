package doppelboden

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestADomainThatNobodyCanHaveIsRefusedBeforeItIsReadClosely(t *testing.T) {
	var letters strings.Builder
	for r := range rune(20_000) { // a signature names two domains, and a mail may have eight
		letters.WriteRune(0x4e00 + r)
	}
	var used [2]syscall.Rusage // of processors, whatever else runs
	for i := range used {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used[i]); err != nil {
			t.Fatal(err)
		}
		if _, ok := ParseDomain(letters.String() + letters.String() + ".de"); ok {
			t.Error("a label of 40,000 letters is a domain")
		}
	}
	if took := time.Duration(used[1].Utime.Nano() - used[0].Utime.Nano()); took > 3*time.Second {
		t.Errorf("a label of 40,000 letters took %v", took)
	}
	// Letters of four octets in many labels are less than 253 letters all the same.
	long := strings.Repeat("𠀀𠀁𠀂.", 20) + "de"
	if got, ok := ParseDomain(long); !ok || len(got) > 253 {
		t.Errorf("a long domain of %d octets: %q, %v; wanted it to be one", len(long), got, ok)
	}
}
