package city

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documented returns the example of a kind ("city", "node") in docs/city.md.
func documented(t *testing.T, kind string) []byte {
	t.Helper()
	text, err := os.ReadFile("../docs/city.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```toml "+kind+"\n")
	example, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("docs/city.md has no example of %s.toml", kind)
	}
	return []byte(example)
}

func TestTheExamplesInTheDocumentationAreReadWithoutAMistake(t *testing.T) {
	if _, err := Parse("docs/city.md", documented(t, "city")); err != nil {
		t.Errorf("the example of city.toml: %v", err)
	}
	if _, err := ParseNode("docs/city.md", documented(t, "node")); err != nil {
		t.Errorf("the example of node.toml: %v", err)
	}
}

func TestTheDocumentationShowsEveryKeyThatIsRead(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source:", err)
	}
	asked := regexp.MustCompile(`\.(?:text|texts|must|number|flag|choice|score|table|tables|has)\("([a-z_]+)"`)
	example := "\n" + string(documented(t, "city")) + string(documented(t, "node"))
	keys := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range asked.FindAllStringSubmatch(string(source), -1) {
			keys[m[1]] = true
		}
	}
	if len(keys) < 60 {
		t.Fatalf("only %d keys were found in the source", len(keys))
	}
	for key := range keys {
		shown := regexp.MustCompile(`\n(` + key + ` = |\[\[?(tenant\.)?(route\.)?` + key + `\]|.* or ` + key + `\b)`)
		if !shown.MatchString(example) {
			t.Errorf("docs/city.md does not show the key %s", key)
		}
	}
}
