package web

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"doppelboden"
)

// neverOnPages are texts of rooms that pages ask, and that only commands can make them say.
var neverOnPages = map[string]bool{
	"say of which department she is the head":                                              true,
	"a role is head, with a department, or admin, without":                                 true,
	"a mailbox belongs to people; this is none":                                            true,
	"a mailbox belongs to people of its own city":                                          true,
	"it is her own mailbox already":                                                        true,
	"the mailbox of a person has deputies, with an end date; it does not belong to others": true,
	"a deputy needs an end date":                                                           true,
	"city.toml names no way to send SMS":                                                   true,
	"the directory is not believed, and the number is from there; name one that you know":  true,
	"the directory knows no telephone number of this person: name one with --number":       true,
	// These have pages of their own.
	"there is no such page":                    true,
	"this form did not come from our own page": true,
}

// publics returns the texts in the sources of a folder that errors say to people.
func publics(t *testing.T, dir string) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources in %s: %v", dir, err)
	}
	text := func(e ast.Expr) {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			s, err := strconv.Unquote(l.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Public" {
					text(n.Value)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "invalid" && len(n.Args) == 1 {
					text(n.Args[0])
				}
			}
			return true
		})
	}
	return all
}

func TestEveryErrorThatPagesTellHasAGermanText(t *testing.T) {
	found := 0
	for _, dir := range []string{".", "people", "public", "setup", "webmail", "../account", "../folder", "../store"} {
		for _, s := range publics(t, dir) {
			found++
			if _, ok := said[s]; !ok && !neverOnPages[s] {
				t.Errorf("%s says %q, which has no German text", dir, s)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d texts were found", found)
	}
	for s, german := range said {
		if !strings.ContainsAny(german[len(german)-1:], ".!?") || strings.ToUpper(german[:1]) != german[:1] {
			t.Errorf("%q is no whole sentence: %q", s, german)
		}
	}
}

func TestAPageOfAMistakeIsInItsReadersLanguageAndLeadsOn(t *testing.T) {
	var failure error
	s, _ := newServer(t)
	s.Mount("GET /fails", s.Handler(func(http.ResponseWriter, *http.Request) error { return failure }))
	show := func(l Language) (string, int) {
		w := ask(s, "GET", "/fails?x=1", nil, func(r *http.Request) { r.Header.Set("Accept-Language", string(l)) })
		return w.Body.String(), w.Code
	}
	codes := []doppelboden.Code{doppelboden.Temporary, doppelboden.NotFound, doppelboden.Policy, doppelboden.TooLarge, doppelboden.Invalid, doppelboden.Busy, doppelboden.StorageFull}
	for _, code := range codes {
		failure = &doppelboden.Error{Code: code, Public: "only the log knows this sentence"}
		page, status := show(German)
		for _, wrong := range []string{"only the log", "Try again", "Nothing was", "Wait a", "That ", "This page"} {
			if strings.Contains(page, wrong) {
				t.Errorf("code %v: a German page says %q: %s", code, wrong, page)
			}
		}
		if status < 400 || !strings.Contains(page, `class="button" href="/"`) {
			t.Errorf("code %v: status %d, and no way on: %s", code, status, page)
		}
		if again := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable; again != strings.Contains(page, `href="/fails?x=1">Noch einmal versuchen`) {
			t.Errorf("code %v, status %d: the button to try again is wrong: %s", code, status, page)
		}
		if page, _ := show(English); strings.Contains(page, "only the log") {
			t.Errorf("code %v: an English page says what is for the log", code)
		}
	}
	for text, german := range said {
		failure = &doppelboden.Error{Code: doppelboden.Busy, Public: text, Cause: errors.New("why")}
		if page := Said(German, failure); page != german {
			t.Errorf("%q in German is %q, wanted %q", text, page, german)
		}
		if page := Said(English, failure); !strings.HasSuffix(page, text[1:]+".") {
			t.Errorf("%q in English is %q", text, page)
		}
	}
	failure = &doppelboden.Error{Code: doppelboden.Busy, Public: "too many questions from your network"}
	if page, status := show(German); status != http.StatusTooManyRequests || !strings.Contains(page, "Aus Ihrem Netz kamen zu viele Anfragen.") || !strings.Contains(page, "Warten Sie eine Minute") {
		t.Errorf("too many requests: status %d: %s", status, page)
	}
}

func TestWhoIsNotLoggedInIsLedFromAMistakeToTheLogIn(t *testing.T) {
	s, _ := newServer(t)
	w := ask(s, "GET", "/nothing", nil, withoutCookies)
	if page := w.Body.String(); w.Code != http.StatusNotFound || !strings.Contains(page, `href="/login">Zur Anmeldung`) {
		t.Errorf("status %d: %s", w.Code, page)
	}
}
