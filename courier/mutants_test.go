package courier_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var mutants = flag.Bool("mutants", false, "run the tests against every fault of testdata/mutants.txt (some minutes)")

// A mutant is a fault that is put into the package on purpose.
type mutant struct {
	name, file string
	old, new   string
}

// readMutants reads testdata/mutants.txt.
func readMutants(t *testing.T) []mutant {
	t.Helper()
	text, err := os.ReadFile("testdata/mutants.txt")
	if err != nil {
		t.Fatalf("read mutants: %v", err)
	}
	var list []mutant
	for _, block := range strings.Split(string(text), "\n== ")[1:] {
		lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
		m := mutant{name: lines[0], file: lines[1]}
		var before, after []string
		for _, line := range lines[2:] {
			if s, ok := strings.CutPrefix(line, "-- "); ok {
				before = append(before, s)
			} else {
				after = append(after, strings.TrimPrefix(line, "++ "))
			}
		}
		m.old, m.new = strings.Join(before, "\n"), strings.Join(after, "\n")
		list = append(list, m)
	}
	return list
}

// TestMutantsAreFound puts each fault into the package, by an overlay that leaves the
// files alone, and expects the other tests to turn red. Without -mutants it only sees
// to it that each fault still fits its place.
func TestMutantsAreFound(t *testing.T) {
	list := readMutants(t)
	if len(list) < 30 {
		t.Fatalf("got %d mutants", len(list))
	}
	for _, m := range list {
		t.Run(m.name, func(t *testing.T) {
			source, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatalf("read source: %v", err)
			}
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("%s: %q stands there %d times, want once", m.file, m.old, n)
			}
			if *mutants {
				infect(t, m, strings.Replace(string(source), m.old, m.new, 1))
			}
		})
	}
}

// infect runs the tests with one file replaced.
func infect(t *testing.T, m mutant, source string) {
	dir := t.TempDir()
	sick := filepath.Join(dir, m.file)
	if err := os.WriteFile(sick, []byte(source), 0o600); err != nil {
		t.Fatalf("write mutant: %v", err)
	}
	healthy, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {healthy: sick}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatalf("write overlay: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "test", "-overlay", list, "-timeout", "60s", "-skip", "Mutants|Postfix|Dovecot", ".").CombinedOutput()
	switch text := string(out); {
	case strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]"):
		t.Errorf("does not build:\n%s", text)
	case err == nil:
		t.Errorf("not found: all tests are green")
	default:
		t.Logf("found by %s", strings.Join(redTests(text), ", "))
	}
}

// redTests returns the names of the tests that failed, or hung until the time-out.
func redTests(out string) []string {
	var red []string
	for _, line := range strings.Split(out, "\n") {
		name, failed := strings.CutPrefix(line, "--- FAIL: ")
		if !failed {
			// The list that a time-out prints.
			if name, failed = strings.CutPrefix(line, "\t\tTest"); failed {
				name = "Test" + name
			}
		}
		if failed {
			red = append(red, strings.Fields(name)[0])
		}
	}
	return red
}
