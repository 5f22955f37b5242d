//go:build screenshots

package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestPictures writes the pictures of docs/screenshots into the folder that SCREENSHOTS
// names. It runs with make screenshots alone: what it looks at, the flows have seen.
func TestPictures(t *testing.T) {
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		t.Fatal("SCREENSHOTS does not name a folder")
	}
	c, b := found(t), Start(t)
	fill(c)
	c.outage()
	code := c.code(ada)
	for _, screen := range []struct {
		name          string
		width, height int
	}{{"desk", deskWidth, deskHeight}, {"phone", phoneWidth, phoneHeight}} {
		shot := func(page string) {
			t.Helper()
			b.Check(page + " on the " + screen.name)
			b.Shot(filepath.Join(folder, page+"-"+screen.name+".png"), false)
		}
		b.Fresh(screen.width, screen.height, true)
		b.Open(c.page + "/")
		shot("emergency-page")
		if code != "" {
			b.Open(c.page + "/enrol")
			shot("code")
			b.Fill("#code", code)
			b.Go("main button.main")
			b.Fill("#password", password)
			b.Fill("#again", password)
			b.Go("main button.main")
			code = ""
		} else {
			b.Fill("#user", ada)
			b.Fill("#password", password)
			b.Go("main button.main")
		}
		b.Open(c.page + "/")
		shot("list")
		b.Go("a.open:has-text('Abstand zum Nachbarn')")
		b.See(".conversation .mail, .text")
		shot("mail")
		b.Go("a[data-key=r]")
		b.do(Order{Do: "type", At: "#text", Text: "Guten Tag, Frau Stern,\n\nmaßgeblich ist die Außenwand. Bitte reichen Sie den Plan mit drei Metern nach.\n\nMit freundlichen Grüßen\nAda Muster\n\n"})
		b.See("text=Entwurf gespeichert um")
		b.Press("Control+Home")
		shot("compose")
		b.do(Order{Do: "click", At: "button[value=discard]"})
		b.See(".done")
	}
	b.do(Order{Do: "fresh", Width: deskWidth, Height: deskHeight, Scripts: true, Dark: true})
	b.Open(c.page + "/")
	b.Fill("#user", ada)
	b.Fill("#password", password)
	b.Go("main button.main")
	b.Check("the list in the dark")
	b.Shot(filepath.Join(folder, "list-dark.png"), false)
}

// fill writes the mails of a Tuesday morning.
func fill(c *city) {
	for i := range 14 {
		who := [...]string{"Jürgen Groß <gross@baubuero.example>", "Stadtwerke Musterstadt <service@stadtwerke.example>", "Lena Okafor <lena.okafor@example.org>", "Landkreis <post@landkreis.example>"}[i%4]
		what := [...]string{"Rückfrage zur Gewerbeanmeldung", "Zählerstand Rathaus Süd", "Wahlhelferin am 27. September", "Protokoll der Besprechung", "Rechnung 2026-4711", "Termin am Donnerstag", "Sperrung Lindenweg"}[i%7]
		c.letter(ada, who, fmt.Sprintf("%s (%d)", what, i+1), "Guten Tag,\n\nanbei wie besprochen. Bitte geben Sie uns bis Freitag Bescheid.\n\nMit freundlichen Grüßen")
	}
	c.mail(ada, designed)
	c.mail(ada, "From: Eva Stern <eva.stern@example.org>\nTo: <ada.muster@stadt.example>\nSubject: Abstand zum Nachbarn, Lindenweg 12\nMessage-ID: <eins@example.org>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nSehr geehrte Frau Muster,\n\nwir bauen im Lindenweg 12 einen Schuppen. Im Plan sind 2,80 m bis zur Grenze eingetragen. Gilt der Abstand von der Außenwand oder vom Dach?\n\nWir würden gern noch im August anfangen.\n\nMit freundlichen Grüßen\nEva Stern\n\n--b\nContent-Type: application/pdf; name=\"Lageplan Lindenweg.pdf\"\nContent-Disposition: attachment; filename=\"Lageplan Lindenweg.pdf\"\nContent-Transfer-Encoding: base64\n\nJVBERi0xLjEKMSAwIG9iago8PC9UeXBlL0NhdGFsb2c+PgplbmRvYmoKdHJhaWxlcjw8L1Jvb3QgMSAwIFI+Pgo=\n--b--\n")
}
