package browser

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// chromium is Debian's.
const chromium = "/usr/bin/chromium"

// A Browser is Chromium with one page.
type Browser struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

// An Order is what drive.mjs is to do.
type Order struct {
	Do      string `json:"do"`
	At      string `json:"at,omitempty"` // a selector of playwright
	URL     string `json:"url,omitempty"`
	Text    any    `json:"text,omitempty"`
	Path    string `json:"path,omitempty"`
	Full    bool   `json:"full,omitempty"`
	Width   int    `json:"width,omitempty"`
	Height  int    `json:"height,omitempty"`
	Scripts bool   `json:"scripts"`
	Dark    bool   `json:"dark,omitempty"`
	Locale  string `json:"locale,omitempty"`
}

// Start starts Chromium; it ends with the test.
func Start(t *testing.T) *Browser {
	t.Helper()
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	sum := sha256.Sum256(lock)
	modules := filepath.Join(cache, "doppelboden-browser", hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(filepath.Join(modules, "done")); err != nil {
		t.Fatalf("what drives Chromium is missing: run scripts/need.sh (%v)", err)
	}
	cmd := exec.Command("node", "drive.mjs", modules, chromium)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the driver ended: %v", err)
		}
	})
	return &Browser{t: t, in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

// order does what o says and returns its answer.
func (b *Browser) order(o Order) (any, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("tell the driver: %w", err)
	}
	line, err = b.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("hear from the driver: %w", err)
	}
	var got struct {
		Value any
		Error string
		URL   string
	}
	if err := json.Unmarshal(line, &got); err != nil {
		return nil, err
	}
	if got.Error != "" {
		return nil, fmt.Errorf("at %s: %s", got.URL, got.Error)
	}
	return got.Value, nil
}

// do is order for what must work.
func (b *Browser) do(o Order) any {
	b.t.Helper()
	v, err := b.order(o)
	if err != nil {
		page, _ := b.order(Order{Do: "text", At: "body"})
		b.t.Fatalf("%s %s %s %v: %v\nthe page says: %v", o.Do, o.At, o.URL, o.Text, err, page)
	}
	return v
}

// Fresh is a browser that was never here.
func (b *Browser) Fresh(width, height int, scripts bool) {
	b.t.Helper()
	b.do(Order{Do: "fresh", Width: width, Height: height, Scripts: scripts})
}

// Open goes to an address.
func (b *Browser) Open(url string) { b.t.Helper(); b.do(Order{Do: "open", URL: url}) }

// Fill writes into a field.
func (b *Browser) Fill(at, text string) { b.t.Helper(); b.do(Order{Do: "fill", At: at, Text: text}) }

// Go clicks on what leads to another page, and waits for it.
func (b *Browser) Go(at string) { b.t.Helper(); b.do(Order{Do: "go", At: at}) }

// Click clicks.
func (b *Browser) Click(at string) { b.t.Helper(); b.do(Order{Do: "click", At: at}) }

// See waits until something is to be seen.
func (b *Browser) See(at string) { b.t.Helper(); b.do(Order{Do: "see", At: at}) }

// Text returns what stands somewhere.
func (b *Browser) Text(at string) string {
	b.t.Helper()
	return b.do(Order{Do: "text", At: at}).(string)
}

// Value returns what stands in a field.
func (b *Browser) Value(at string) string {
	b.t.Helper()
	return b.do(Order{Do: "value", At: at}).(string)
}

// Count returns how many there are.
func (b *Browser) Count(at string) int {
	b.t.Helper()
	return int(b.do(Order{Do: "count", At: at}).(float64))
}

// Press presses a key.
func (b *Browser) Press(key string) { b.t.Helper(); b.do(Order{Do: "press", Text: key}) }

// URL is where the page is.
func (b *Browser) URL() string { b.t.Helper(); return b.do(Order{Do: "url"}).(string) }

// Shot writes a picture of the page.
func (b *Browser) Shot(path string, full bool) {
	b.t.Helper()
	b.do(Order{Do: "shot", Path: path, Full: full})
}

// Check fails unless everybody can use the page: WCAG 2.1 AA as far as axe-core sees it,
// nothing wider than the screen, no error of a script.
func (b *Browser) Check(what string) {
	b.t.Helper()
	for _, v := range b.do(Order{Do: "axe"}).([]any) {
		b.t.Errorf("%s: %v", what, v)
	}
	if wide := b.do(Order{Do: "wide"}).(float64); wide > 0 {
		b.t.Errorf("%s is %v pixels wider than the screen", what, wide)
	}
	for _, v := range b.do(Order{Do: "small"}).([]any) {
		b.t.Errorf("%s: too small to hit: %v", what, v)
	}
	for _, v := range b.do(Order{Do: "errors"}).([]any) {
		b.t.Errorf("%s: the browser says: %v", what, v)
	}
}
