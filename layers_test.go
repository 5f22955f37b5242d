package doppelboden

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// layers gives every package of the house its floor. Imports go down only: a package
// may import those of lower floors.
var layers = map[string]int{
	".": 0, // the words

	// cellar
	"disk": 1, "disk/diskfault": 2, "store": 1, "store/sqlite": 2, "store/storetest": 2,
	"keyring": 2, "segment": 2, "tally": 2,

	// rooms
	"courier": 3, "city": 3, "ledger": 3, "intake": 3, "retention": 3,
	"queue": 4, // decides what courier carries

	// doors
	"smtpd": 5, "control": 5,

	// beside the house
	"say": 1, "sink": 1, "send": 1, "setup": 4,

	"app": 6, "demo": 7, "cmd/doppelboden": 8,
}

func TestImportsGoDownOnly(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), "_") || strings.HasPrefix(d.Name(), ".") && path != "." || path == "test" || path == "var" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		seen++
		return checkImports(t, path)
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("only %d files were looked at", seen)
	}
}

func checkImports(t *testing.T, path string) error {
	from := packageOf(path)
	floor, known := layers[from]
	if !known {
		t.Errorf("%s: package %q has no floor; give it one in layers", path, from)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		to, ours := strings.CutPrefix(name, "doppelboden")
		if !ours || to != "" && to[0] != '/' {
			continue
		}
		to = strings.TrimPrefix(to, "/")
		if to == "" {
			to = "."
		}
		below, known := layers[packageOf(to+"/x.go")]
		if !known || below >= floor {
			t.Errorf("%s (floor %d) imports %q (floor %d): imports go down only", path, floor, to, below)
		}
	}
	return nil
}

// packageOf returns the package that a file belongs to. What lies in an internal folder
// or beside a package for its tests counts as part of it.
func packageOf(path string) string {
	dir := filepath.ToSlash(filepath.Dir(path))
	if i := strings.Index(dir, "/internal"); i >= 0 {
		dir = dir[:i]
	}
	return dir
}
