package sink

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestEveryMistakeInAScriptIsNamed reads one file per mistake. What is said about it
// lies beside it, and names the line.
func TestEveryMistakeInAScriptIsNamed(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) < 20 {
		t.Fatalf("got %d bad scripts and error %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(name, text)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		golden := strings.TrimSuffix(file, ".toml") + ".err"
		if *update {
			os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644)
		}
		want, _ := os.ReadFile(golden)
		if got := err.Error() + "\n"; got != string(want) {
			t.Errorf("%s:\n got %swant %s", name, got, want)
		}
	}
}

func TestTheExamplesAreScripts(t *testing.T) {
	files, _ := filepath.Glob("examples/*.toml")
	if len(files) < 4 {
		t.Fatalf("got %d examples", len(files))
	}
	for _, file := range files {
		if s, err := Load(file); err != nil || len(s.Rules) == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := Load("examples/none.toml"); err == nil {
		t.Error("a file that does not exist was loaded")
	}
}

func TestPatternsMatchAsPeopleExpect(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "a@b", true}, {"a@b", "A@B", true}, {"a@b", "a@bc", false}, {"*@b", "x/y@b", true},
		{"a*b*c", "aXbXbXc", true}, {"a*b*c", "aXbX", false}, {"?", "", false}, {"?@b", "x@b", true}, {"**a", "a", true}, {"", "a", false}, {"", "", true},
	} {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("%q and %q: got %v, want %v", c.pattern, c.s, got, c.want)
		}
	}
}

func TestRepliesAreFormattedForTheWire(t *testing.T) {
	for in, want := range map[string]string{
		"450 later":               "450 later\r\n",
		"450":                     "450 \r\n",
		"554-a\nb\nc":             "554-a\r\n554-b\r\n554 c\r\n",
		"554-a\n554-b\n554 c":     "554-a\r\n554-b\r\n554 c\r\n",
		"250 one\n":               "250 one\r\n",
		"550 5.1.1 no\n5.1.1 bye": "550-5.1.1 no\r\n550 5.1.1 bye\r\n",
	} {
		if got := formatReply(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestRulesFireAsOftenAsTheySay(t *testing.T) {
	fired := func(text string) string {
		s, err := Parse("test", []byte("seed = 9\n[[rule]]\nphase = \"mail\"\nreply = \"450 x\"\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		p := newPlay(s, time.Unix(0, 0))
		var b bytes.Buffer
		for i := range 12 {
			if p.next(occasion{phase: "mail", sender: "a@b", now: time.Unix(int64(i), 0)}) != nil {
				b.WriteByte('x')
			} else {
				b.WriteByte('.')
			}
		}
		return b.String()
	}
	for text, want := range map[string]string{
		"":                              "xxxxxxxxxxxx",
		"nth = 3":                       "..x.........",
		"every = 4":                     "...x...x...x",
		"times = 2":                     "xx..........",
		"every = 2\ntimes = 2":          ".x.x........",
		"from = \"3s\"\nuntil = \"6s\"": "...xxx......",
		"from = \"9s\"":                 ".........xxx",
		"sender = \"*@c\"":              "............",
		"probability = 1.0":             "xxxxxxxxxxxx",
		"from = \"2s\"\nnth = 2":        "...x........",
	} {
		if got := fired(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	some := fired("probability = 0.5")
	if n := strings.Count(some, "x"); n < 2 || n > 10 {
		t.Errorf("half of twelve: got %s", some)
	}
	if again := fired("probability = 0.5"); again != some {
		t.Errorf("the same seed gave %s and %s", some, again)
	}
}

// FuzzScript: whatever is accepted can be played.
func FuzzScript(f *testing.F) {
	files, _ := filepath.Glob("examples/*.toml")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("fuzz", text)
		if err != nil {
			return
		}
		p := newPlay(s, time.Unix(0, 0))
		for _, phase := range phases {
			if r := p.next(occasion{phase: phase, recipients: []string{"a@b"}, now: time.Unix(1, 0)}); r != nil && r.wire != "" && codeOf(r.wire) < 200 {
				t.Errorf("%q has the reply %q", text, r.wire)
			}
		}
	})
}
