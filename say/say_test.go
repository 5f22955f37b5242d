package say

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// literals returns every string that is given to a method T as its first argument, and
// every string literal there is, by the files of the module without tests.
func literals(t *testing.T) (keys map[string]token.Position, all map[string]bool) {
	t.Helper()
	keys, all = map[string]token.Position{}, map[string]bool{}
	fset := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "test" || d.Name() == "var" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, filepath.Join("..", "say")) {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return nil // somebody is writing it; the compiler tells them
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					all[s] = true
				}
			case *ast.CallExpr:
				if key, ok := keyOf(n); ok {
					keys[key] = fset.Position(n.Pos())
				} else if isT(n) {
					t.Errorf("%s: the key of T is no literal, so nobody can tell whether it has a German text", fset.Position(n.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) < 100 {
		t.Fatalf("only %d keys were found: the search is broken", len(keys))
	}
	return keys, all
}

// isT reports whether a call is that of a Printer's T: p.say.T or say.T of a variable.
func isT(c *ast.CallExpr) bool {
	sel, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "T" || len(c.Args) == 0 {
		return false
	}
	switch x := sel.X.(type) {
	case *ast.SelectorExpr:
		return x.Sel.Name == "say" || x.Sel.Name == "Say"
	case *ast.Ident:
		return x.Name == "say"
	}
	return false
}

func keyOf(c *ast.CallExpr) (string, bool) {
	if !isT(c) {
		return "", false
	}
	return unquoted(c.Args[0])
}

// unquoted returns the text of a string literal.
func unquoted(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

func TestEveryTextHasAGermanOneAndNoneIsUnused(t *testing.T) {
	keys, all := literals(t)
	for key, where := range keys {
		_, plain := german[key]
		_, plural := counted[key]
		if plain == plural {
			t.Errorf("%s: %q has no German text, or two", where, key)
		}
	}
	for key := range german {
		if _, used := keys[key]; !used {
			t.Errorf("nobody uses %q", key)
		}
	}
	for key := range counted {
		if _, used := keys[key]; !used {
			t.Errorf("nobody uses %q", key)
		}
	}
	for sentence := range foreign {
		if !all[sentence] {
			t.Errorf("nobody says %q any more", sentence)
		}
	}
}

// sentences returns the keys that package city gives to says, and its reasons why an
// address is none.
func sentences(t *testing.T) map[string]token.Position {
	t.Helper()
	fset, found := token.NewFileSet(), map[string]token.Position{}
	paths, err := filepath.Glob(filepath.Join("..", "city", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	consts := map[string]string{}
	var calls []*ast.CallExpr
	for _, path := range append(paths, filepath.Join("..", "address.go")) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, v := range n.Values {
					if text, ok := unquoted(v); ok {
						consts[n.Names[i].Name] = text
					}
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "says" || f.Name == "bad") {
					calls = append(calls, n)
				}
			}
			return true
		})
	}
	for _, c := range calls {
		key, ok := unquoted(c.Args[0])
		if name, isName := c.Args[0].(*ast.Ident); isName {
			key, ok = consts[name.Name]
		}
		if !ok {
			t.Errorf("%s: the key is neither a literal nor a constant, so nobody can tell whether it has a German text", fset.Position(c.Pos()))
			continue
		}
		if verbs := len(verb.FindAllString(key, -1)); verbs != len(c.Args)-1 {
			t.Errorf("%s: %q takes %d arguments and is given %d", fset.Position(c.Pos()), key, verbs, len(c.Args)-1)
		}
		found[key] = fset.Position(c.Pos())
	}
	if len(found) < 60 {
		t.Fatalf("only %d sentences were found: the search is broken", len(found))
	}
	return found
}

func TestEveryMistakeInAFileIsToldInGermanToo(t *testing.T) {
	said := sentences(t)
	for key, where := range said {
		if mistakes[key] == "" {
			t.Errorf("%s: %q has no German text", where, key)
		}
	}
	_, all := literals(t)
	for key := range mistakes {
		if _, ok := said[key]; !ok && !all[key] { // city.shown calls a value "a list"
			t.Errorf("nobody says %q any more", key)
		}
	}
}

func TestAKnownSentenceTakesItsArgumentsAlongAndTheyAreTranslatedToo(t *testing.T) {
	for _, c := range []struct {
		locale, key string
		args        []string
		want        string
	}{
		{"de", "the tenant of line %s has the same name", []string{"1234"}, "der Mandant in Zeile 1234 heißt genauso"},
		{"de", "not a mail address: %s", []string{"domain is malformed"}, "keine Mailadresse: die Domain ist fehlerhaft"},
		{"en", "not a mail address: %s", []string{"domain is malformed"}, "not a mail address: domain is malformed"},
		{"de", "nobody knows %s", []string{"100 %d"}, "nobody knows 100 %d"},
		{"de", "100 %d, and no arguments", nil, "100 %d, and no arguments"},
	} {
		if got := New(c.locale).Known(c.key, c.args...); got != c.want {
			t.Errorf("%s: %q with %q is %q, want %q", c.locale, c.key, c.args, got, c.want)
		}
	}
}

var verb = regexp.MustCompile(`%[a-z]`)

func TestTranslationsTakeTheSameArguments(t *testing.T) {
	same := func(key, text string) {
		if want, got := verb.FindAllString(key, -1), verb.FindAllString(text, -1); !slices.Equal(want, got) {
			t.Errorf("%q takes %v, but %q takes %v", key, want, text, got)
		}
	}
	for key, text := range german {
		same(key, text)
	}
	for key, text := range foreign {
		same(key, text)
	}
	for key, text := range mistakes {
		same(key, text)
	}
	for key, c := range counted {
		same(key, c.one)
		same(key, c.eins)
		same(key, c.mehrere)
	}
}

func TestTheLanguageFollowsTheLocale(t *testing.T) {
	for locale, german := range map[string]bool{
		"de": true, "de_DE.UTF-8": true, "de-AT": true, "DE_ch": true,
		"": false, "C": false, "en_GB.UTF-8": false, "den": false, "fr_FR": false,
	} {
		if got := New(locale).German(); got != german {
			t.Errorf("locale %q: German %v, want %v", locale, got, german)
		}
	}
	env := map[string]string{"LANG": "de_DE.UTF-8", "LC_ALL": "en_GB.UTF-8"}
	if FromEnv(func(k string) string { return env[k] }).German() {
		t.Error("LANG beat LC_ALL; POSIX says otherwise")
	}
	if FromEnv(os.Getenv) == nil {
		t.Error("no printer for this environment")
	}
}

func TestNumbersAndCountsAreWrittenAsTheLanguageWritesThem(t *testing.T) {
	for _, c := range []struct {
		locale, key, want string
		n                 int
	}{
		{"de", "%d mailboxes", "1 Postfach", 1},
		{"de", "%d mailboxes", "12.345 Postfächer", 12345},
		{"en", "%d mailboxes", "1 mailbox", 1},
		{"en", "%d mailboxes", "12,345 mailboxes", 12345},
		{"de", "%d min", "5 min", 5},
	} {
		if got := New(c.locale).T(c.key, c.n); got != c.want {
			t.Errorf("%s: %q with %d is %q, want %q", c.locale, c.key, c.n, got, c.want)
		}
	}
}

func TestPlainTakesEverythingThatATerminalWouldActUpon(t *testing.T) {
	for in, want := range map[string]string{
		"Müller <ß@x.de>":        "Müller <ß@x.de>",
		"a\x1b[31mb\x07":         "a?[31mb?",
		"a\r\nb\tc":              "a??b?c",
		"a\u202eb\u200bc\u0085d": "a?b?c?d",
		"bad\xff\xfebytes":       "bad?bytes",
		"\u009b31m":              "?31m",
	} {
		if got := Plain(in); got != want {
			t.Errorf("Plain(%q) is %q, want %q", in, got, want)
		}
	}
}
