package browser

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// link returns the URL of the QR code on a person's sheet, as a camera reads it.
func (c *city) link(whom string) string {
	c.t.Helper()
	pdf := filepath.Join(c.t.TempDir(), "sheet.pdf")
	c.must("account", "codes", "--person", whom, "--pdf", pdf)
	if out, err := exec.Command("pdftoppm", "-r", "100", "-png", pdf, strings.TrimSuffix(pdf, ".pdf")).CombinedOutput(); err != nil {
		c.t.Fatalf("draw the sheet: %v: %s", err, out)
	}
	images, err := filepath.Glob(strings.TrimSuffix(pdf, ".pdf") + "-*.png")
	if err != nil || len(images) != 1 {
		c.t.Fatalf("pages of the sheet: %v, %v", images, err)
	}
	out, err := exec.Command("zbarimg", "-q", "--raw", images[0]).Output()
	if err != nil {
		c.t.Fatalf("read the QR code: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func TestAPhoneEnrolsByItsCameraAndLogsInWithAPasskey(t *testing.T) {
	c, b := found(t), Start(t)
	b.Fresh(phoneWidth, phoneHeight, true)
	b.do(Order{Do: "open", URL: "about:blank"})
	b.do(Order{Do: "authenticator"})
	link := c.link(ada)
	if !strings.HasPrefix(link, c.page+"/enrol#") {
		t.Fatalf("the QR code says %s", link)
	}
	b.Open(link)
	if got, want := b.Value("#code"), link[strings.Index(link, "#")+1:]; got != want {
		t.Errorf("the field of the code holds %q, wanted %q", got, want)
	}
	if got := b.URL(); strings.Contains(got, "#") {
		t.Errorf("the code stays in the address: %s", got)
	}
	b.Check("a code")
	b.Go("button:has-text('Weiter')")
	b.Check("a new password")
	b.Fill("#password", "kurz und gut")
	b.Fill("#again", "kurz und gutt")
	b.Go("button.main")
	b.See("text=Die beiden Passwörter sind nicht gleich.")
	b.do(Order{Do: "errors"}) // the browser notes the 422
	b.Check("a password that was mistyped")
	b.Fill("#password", "drei kleine worte")
	b.Fill("#again", "drei kleine worte")
	b.Go("button.main")
	b.See("h1:has-text('Ein zweiter Schlüssel')")
	b.Check("a second key")
	b.Fill("[data-passkey-label]", "Adas Telefon")
	b.Go("button:has-text('Passkey einrichten')")
	b.See(".state, #mails, main")
	b.Open(c.page + "/account")
	b.See("text=Adas Telefon")
	b.Check("how she logs in")

	// Logged out, the passkey lets her in, and her password alone does not.
	b.Go("main >> text=Zum Postfach")
	b.Open(c.page + "/account")
	b.Click("details.menu summary")
	b.Go("button:has-text('Abmelden')")
	b.Check("the log-in")
	b.Fill("#user", ada)
	b.Fill("#password", "drei kleine worte")
	b.Go("button.main")
	b.See("button:has-text('Passkey benutzen')")
	b.Check("one more step")
	b.Go("button:has-text('Passkey benutzen')")
	b.Open(c.page + "/account")
	b.See("text=Adas Telefon")

	// She has shown a second factor, so she can vouch.
	c.must("account", "role", ada, "--head", "Standesamt")
	b.Open(c.page + "/vouch")
	b.See("text=Bea Beispiel")
	b.Check("the people of a head")
	b.Go("button:has-text('Code erzeugen')")
	b.See("h1:has-text('Ein Code für eine Person')")
	b.Check("a code for one person")
	code := b.Text("p.code")
	b.Open(c.page + "/readiness")
	b.See("text=1 von 1 Menschen (100 %) sind bereit.")
	b.Check("who is ready")

	b.Fresh(deskWidth, deskHeight, false) // without scripts, at a strange computer
	b.Open(c.page + "/login")
	b.Go("a:has-text('Ich habe einen Code')")
	b.Fill("#code", strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	b.Go("button.main")
	b.See("text=Das ist für Bea Beispiel.")

	// The old link is spent.
	b.Fresh(phoneWidth, phoneHeight, true)
	b.Open(link)
	b.Go("button:has-text('Weiter')")
	b.See("text=Adresse, Passwort oder Code stimmt nicht.")
	out := c.must("account", "readiness", "--json")
	if want := `"department":"Bauamt","people":1,"ready":1,"password":1,"passkey":1`; !strings.Contains(out, want) {
		t.Errorf("readiness says %s, wanted %s", out, want)
	}
}
