package account

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

func TestASheetCanBeReadByPeopleAndCameras(t *testing.T) {
	until := time.Date(2027, 4, 6, 12, 0, 0, 0, time.Local)
	sheet := func(language, name, department string) Sheet {
		return Sheet{Person: Person{Name: name, Department: department, Language: language, Address: doppelboden.Address{Local: "a.mueller", Domain: "stadt.example"}},
			Code: newCode(), Until: until, Page: "https://notfall.stadt.example"}
	}
	sheets := []Sheet{
		sheet("de", "Änne Müller-Größe", "Straßenverkehrsamt"),
		sheet("en", "Łukasz Żółć", "Permits"),
		sheet("de", strings.Repeat("Überlanger Name ", 40), "(\\) Tj ET\x00\x1b[2J\u202e\r\n/JS app.alert(1)"),
		sheet("de", "🙂 你好 \U0001F600", ""),
		sheet("de", "", ""),
	}
	file := filepath.Join(t.TempDir(), "sheets.pdf")
	var b bytes.Buffer
	if err := PrintSheets(&b, sheets, until); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, s := range sheets {
		page := string(rune('1' + i))
		text := run(t, "pdftotext", "-layout", "-f", page, "-l", page, file, "-")
		flat := strings.Join(strings.Fields(text), " ")
		groups := strings.Split(s.Code, "-")
		for _, want := range []string{strings.Join(groups[:3], " "), strings.Join(groups[3:], " "), "notfall.stadt.example", "a.mueller@stadt.example"} {
			if !strings.Contains(flat, want) {
				t.Errorf("page %s: %q is missing in:\n%s", page, want, text)
			}
		}
		if i < 2 && !strings.Contains(flat, s.Person.Name) {
			t.Errorf("page %s: the name %q is missing in:\n%s", page, s.Person.Name, text)
		}
		run(t, "pdftoppm", "-r", "100", "-f", page, "-l", page, "-png", file, filepath.Join(filepath.Dir(file), "page"+page))
		images, err := filepath.Glob(filepath.Join(filepath.Dir(file), "page"+page+"-*.png"))
		if err != nil || len(images) != 1 {
			t.Fatalf("page %s as an image: %v, %v", page, images, err)
		}
		if got := strings.TrimSpace(run(t, "zbarimg", "-q", "--raw", images[0])); got != s.Link() {
			t.Errorf("page %s: a camera reads %q, wanted %q", page, got, s.Link())
		}
	}
	if info := run(t, "pdfinfo", file); !strings.Contains(info, "Pages:           5") || !strings.Contains(info, "JavaScript:      no") {
		t.Errorf("the document: %s", info)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

func TestCodesFindSlipsOfTheHand(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		c := newCode()
		flat, ok := ParseCode(c)
		if !ok || len(flat) != codeSize || seen[flat] {
			t.Fatalf("code %s: %q, %v", c, flat, ok)
		}
		seen[flat] = true
		for _, same := range []string{strings.ToLower(c), " " + strings.ReplaceAll(c, "-", "  "), strings.NewReplacer("0", "o", "1", "l").Replace(c)} {
			if got, ok := ParseCode(same); !ok || got != flat {
				t.Errorf("%q typed as %q: %q, %v", c, same, got, ok)
			}
		}
		for i := range flat {
			other := alphabet[(strings.IndexByte(alphabet, flat[i])+1+i)%32]
			if other != flat[i] {
				if _, ok := ParseCode(flat[:i] + string(other) + flat[i+1:]); ok {
					t.Errorf("%s with another character at %d counts as a code", flat, i)
				}
			}
			if i > 0 && flat[i] != flat[i-1] {
				if _, ok := ParseCode(flat[:i-1] + string(flat[i]) + string(flat[i-1]) + flat[i+1:]); ok {
					t.Errorf("%s with %d and %d exchanged counts as a code", flat, i-1, i)
				}
			}
		}
	}
	for _, bad := range []string{"", "-", "ABC", strings.Repeat("U", codeSize), strings.Repeat("0", codeSize+1), strings.Repeat("ä", codeSize), "\xff\xfe"} {
		if _, ok := ParseCode(bad); ok {
			t.Errorf("%q counts as a code", bad)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add("K7M-4QX-9TB-R2C-5HN-W8D")
	f.Add("\u00a0–..oOiIlL")
	f.Fuzz(func(t *testing.T, s string) {
		if flat, ok := ParseCode(s); ok && (len(flat) != codeSize || strings.Trim(flat, alphabet) != "") {
			t.Errorf("%q is read as %q", s, flat)
		}
	})
}
