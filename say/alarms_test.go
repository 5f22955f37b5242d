package say

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// A told is one place that tells people something.
type told struct {
	where  token.Position
	values int // that it gives
}

// tellingsOf returns the keys of all calls of doppelboden.Tell in the module, and fails for
// tellings that are made another way.
func tellingsOf(t *testing.T) map[string]told {
	t.Helper()
	found := map[string]told{}
	fset := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "test" || d.Name() == "storetest" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == ".." {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return nil // somebody is writing it; the compiler tells them
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.CompositeLit); ok && (named(lit.Type, "Telling") || named(lit.Type, "Sentence")) {
				t.Errorf("%s: a telling is made without doppelboden.Tell, so nobody can tell whether it has a German text", fset.Position(n.Pos()))
			}
			c, ok := n.(*ast.CallExpr)
			if !ok || !named(c.Fun, "Tell") {
				return true
			}
			key, ok := joined(c.Args[0])
			if !ok {
				t.Errorf("%s: the key of Tell is no literal, so nobody can tell whether it has a German text", fset.Position(c.Pos()))
			}
			found[key] = told{fset.Position(c.Pos()), len(c.Args) - 1}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 50 {
		t.Fatalf("only %d tellings were found: the search is broken", len(found))
	}
	return found
}

// named reports whether an expression is doppelboden.NAME.
func named(e ast.Expr, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "doppelboden"
}

// joined returns the text of string literals that are joined by +.
func joined(e ast.Expr) (string, bool) {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == token.ADD {
		x, ok := joined(b.X)
		y, also := joined(b.Y)
		return x + y, ok && also
	}
	return unquoted(e)
}

func TestEverythingThatAnAlarmSaysIsSaidInGermanToo(t *testing.T) {
	said := tellingsOf(t)
	for key, one := range said {
		if tellings[key] == "" {
			t.Errorf("%s: %q has no German text", one.where, key)
		}
		for _, text := range []string{key, tellings[key]} {
			args := make([]any, one.values)
			for i := range args {
				args[i] = fmt.Sprintf("<%d>", i)
			}
			out := text
			if len(args) > 0 {
				out = fmt.Sprintf(text, args...)
			}
			for _, a := range args {
				if strings.Count(out, a.(string)) != 1 {
					t.Errorf("%s: %q says its value %s not once: %s", one.where, text, a, out)
				}
			}
			if strings.Contains(out, "%") {
				t.Errorf("%s: %q takes other values than the %d that it is given: %s", one.where, text, one.values, out)
			}
		}
	}
	for key := range tellings {
		if _, used := said[key]; !used {
			t.Errorf("nobody says %q any more", key)
		}
	}
}

// command finds the commands in a text, with their options and without what stands for
// values.
var command = regexp.MustCompile(`doppelboden((?: [a-z]+)+)((?: (?:%s|[A-ZÄÖÜ@.a-zäöü]+|--[a-z-]+))*)`)

func TestEveryCommandThatAnAlarmNamesIsThereWithItsOptions(t *testing.T) {
	reference, err := os.ReadFile(filepath.Join("..", "docs", "commands.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(reference), "\n## ")[1:] {
		head, body, _ := strings.Cut(s, "\n")
		sections[strings.TrimSpace(strings.Trim(head, "`"))] = body
	}
	seen := 0
	for english, german := range tellings {
		for _, text := range []string{english, german} {
			for _, m := range command.FindAllStringSubmatch(text, -1) {
				seen++
				name := m[1][1:]
				section, ok := sections[name]
				if words := strings.Fields(name); !ok && len(words) > 2 { // the last is an argument
					section, ok = sections[strings.Join(words[:2], " ")]
				}
				if !ok {
					t.Errorf("%q is no command: %s", name, text)
				}
				for _, option := range regexp.MustCompile(`--[a-z-]+`).FindAllString(m[2], -1) {
					if !strings.Contains(section, option) {
						t.Errorf("%q has no option %s: %s", name, option, text)
					}
				}
			}
		}
	}
	if seen < 30 {
		t.Fatalf("only %d commands were found: the search is broken", seen)
	}
}

func TestATellingIsSaidAsTheLanguageSaysItAndHarmless(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 12, 0, 0, time.Local)
	a := doppelboden.Alarm{Text: "old", Said: doppelboden.Tell("Outage %s of %s since %s: the groupware does not take mail for %s.", "3", "st\x1b[31madt", at, doppelboden.Tell("%s mailboxes", 12345))}
	for locale, want := range map[string]string{
		"de": "Ausfall 3 von st?[31madt seit 02.03.2026 09:12:00: Die Groupware nimmt keine Mail an für 12.345 Postfächer.",
		"en": "Outage 3 of st?[31madt since 2026-03-02 09:12:00: the groupware does not take mail for 12,345 mailboxes.",
	} {
		if got := New(locale).Alarm(a); got != want {
			t.Errorf("%s: %q, want %q", locale, got, want)
		}
	}
	if got := New("de").Alarm(doppelboden.Alarm{Text: "of an older\nprogram"}); got != "of an older?program" {
		t.Errorf("an alarm of a program that knew no languages: %q", got)
	}
	for d, want := range map[time.Duration]string{48 * time.Hour: "48 h", 90 * time.Minute: "1 h 30 min", 10 * time.Second: "10 s"} {
		if got := New("de").Telling(doppelboden.Tell("After %s it is handed over with a mark.", d)); got != "Nach "+want+" wird sie mit einem Vermerk übergeben." {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	full := doppelboden.Tell("NO MAIL IS TAKEN: %s. Senders try again for some days. Make room on the disk of %s, or repair it.", "insufficient system storage", "/srv")
	if got := New("de").Telling(full); strings.Contains(got, "insufficient") {
		t.Errorf("the reason is not translated: %q", got)
	}
}
