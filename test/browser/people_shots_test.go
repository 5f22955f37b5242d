//go:build screenshots

package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPicturesOfPeople writes the pictures of a sheet and of who is ready.
func TestPicturesOfPeople(t *testing.T) {
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		t.Fatal("SCREENSHOTS does not name a folder")
	}
	c, b := found(t), Start(t)
	pdf := filepath.Join(t.TempDir(), "sheet.pdf")
	c.must("account", "codes", "--person", bea, "--pdf", pdf)
	if out, err := exec.Command("pdftoppm", "-r", "90", "-png", "-singlefile", pdf, filepath.Join(folder, "sheet")).CombinedOutput(); err != nil {
		t.Fatalf("draw the sheet: %v: %s", err, out)
	}
	c.must("account", "role", ada, "--admin")
	for i, name := range []string{"Jana Krüger", "Omar Yıldız", "Grete Weiß"} {
		c.must("mailbox", "add", [...]string{"jana", "omar", "grete"}[i]+"@stadt.example", "--name", name, "--department", "Bauamt")
	}
	c.must("account", "codes", "--person", "jana@stadt.example", "--json")
	for i, screen := range []struct {
		name          string
		width, height int
	}{{"desk", deskWidth, deskHeight}, {"phone", phoneWidth, phoneHeight}} {
		b.Fresh(screen.width, screen.height, true)
		if i == 0 {
			c.enrol(b, ada)
		} else {
			b.Open(c.page + "/login")
			b.Fill("#user", ada)
			b.Fill("#password", password)
			b.Go("main button.main")
		}
		for _, page := range []string{"readiness", "account"} {
			b.Open(c.page + "/" + page)
			b.Check(page + " on the " + screen.name)
			b.Shot(filepath.Join(folder, page+"-"+screen.name+".png"), true)
		}
	}
}
