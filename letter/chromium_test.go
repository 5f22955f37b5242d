package letter

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// harness shows pages in frames that forbid nothing, and writes what they did.
const harness = `<!doctype html><body><script>
window.ran = [];
const pages = PAGES;
let loaded = 0;
function done() {
	const fetched = [], found = [];
	document.querySelectorAll('iframe').forEach(f => {
		f.contentWindow.performance.getEntriesByType('resource').forEach(e => fetched.push(f.name + ' ' + e.name));
		f.contentDocument.querySelectorAll('body script, form, input, svg, math, iframe, object, embed, base, link').forEach(e => found.push(f.name + ' ' + e.tagName));
	});
	document.body.textContent = 'RESULT ' + JSON.stringify({frames: loaded, ran: ran, fetched: fetched, found: found}) + ' END';
}
pages.forEach((p, i) => {
	const f = document.createElement('iframe');
	f.name = 'page' + i;
	f.onload = () => { if (++loaded == pages.length) setTimeout(done, 500); };
	f.srcdoc = '<script>window.alert = () => parent.ran.push(window.name)</' + 'script>' + p;
	document.body.appendChild(f);
});
</script>`

// TestABrowserRunsNothingOfHostilePages shows every hostile page in Chromium without the
// policy and the sandbox that it has in earnest: the cleaner alone must do.
func TestABrowserRunsNothingOfHostilePages(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is missing: run scripts/need.sh")
	}
	pages := []string{"<script>alert(1)</script><form><input></form>"} // shows that this test finds what it looks for
	for _, page := range hostile {
		safe, _ := read(t, htmlMail(page)).HTML(HTMLOptions{})
		before, after, ok := strings.Cut(string(safe), `<meta http-equiv="Content-Security-Policy" content="`)
		_, after, ok2 := strings.Cut(after, `">`)
		if !ok || !ok2 {
			t.Fatalf("no policy in %s", safe)
		}
		pages = append(pages, before+after)
	}
	list, err := json.Marshal(pages)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "pages.html")
	text := strings.Replace(harness, "PAGES", strings.ReplaceAll(string(list), "</", `<\/`), 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--virtual-time-budget=20000", "--dump-dom", "file://"+file).Output()
	if err != nil {
		t.Fatalf("run chromium: %v", err)
	}
	_, rest, ok := strings.Cut(string(out), "RESULT ")
	rest, _, ok2 := strings.Cut(rest, " END")
	var got struct {
		Frames              int
		Ran, Fetched, Found []string
	}
	if err := json.Unmarshal([]byte(rest), &got); err != nil || !ok || !ok2 {
		t.Fatalf("chromium wrote no result: %v, %d bytes", err, len(out))
	}
	if got.Frames != len(pages) || len(got.Fetched) > 0 || strings.Join(got.Ran, " ") != "page0" || strings.Join(got.Found, " ") != "page0 FORM page0 INPUT" {
		t.Errorf("of %d pages: %+v; wanted what page 0 does, and nothing else", len(pages), got)
	}
}
