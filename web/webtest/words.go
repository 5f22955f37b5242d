// Package webtest holds what the tests of all packages with pages have in common.
package webtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// inTemplate finds the sentences of a template: {{t "sentence"}}, also as a part of an
// expression.
var inTemplate = regexp.MustCompile(`\bt\s+"((?:[^"\\]|\\.)*)"`)

// Words fails when a sentence of the package in dir has no German text in words, when its
// verbs differ, or when a text is used nowhere. Sentences stand in templates behind t, and
// in the Go code as string literals anywhere but in the list of words itself.
func Words(t *testing.T, dir string, words map[string]string) {
	t.Helper()
	used, literals := map[string]bool{}, map[string]bool{}
	pages, err := filepath.Glob(filepath.Join(dir, "templates", "*.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inTemplate.FindAllStringSubmatch(string(text), -1) {
			s, err := strconv.Unquote(`"` + m[1] + `"`)
			if err != nil {
				t.Fatalf("%s: %q: %v", name, m[1], err)
			}
			used[s] = true
		}
	}
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(filepath.Base(name), "german") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if s, err := strconv.Unquote(l.Value); err == nil {
					literals[s] = true
				}
			}
			return true
		})
	}
	for s := range used {
		if _, ok := words[s]; !ok {
			t.Errorf("%q has no German text", s)
		}
	}
	verb := regexp.MustCompile(`%(\[\d+\])?[a-z]`)
	for s, german := range words {
		if !used[s] && !literals[s] {
			t.Errorf("nobody uses %q", s)
		}
		if a, b := len(verb.FindAllString(s, -1)), len(verb.FindAllString(german, -1)); a != b {
			t.Errorf("%q has %d verbs, its German text %d", s, a, b)
		}
	}
}
