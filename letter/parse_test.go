package letter

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
)

func TestHeadersAreReadWhateverTheirCharset(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"=?utf-8?q?B=C3=BCrgerb=C3=BCro?=", "Bürgerbüro"},
		{"=?UTF-8?B?QsO8cmdlcg==?= =?UTF-8?Q?b=C3=BCro?=", "Bürgerbüro"},
		{"=?utf-8?q?B=C3?= =?utf-8?q?=BCro?=", "Büro"}, // cut within a character
		{"=?iso-8859-1?q?B=FCro_=80?=", "Büro €"},
		{"=?utf-8?q?B=FCro?=", "Büro"}, // declared wrong
		{"=?iso-8859-1?q?B=C3=BCro?=", "Büro"},
		{"=?x-none?q?B=FCro?=", "Büro"},
		{"=?iso-2022-jp?b?GyRCJUYlOSVIGyhC?=", "テスト"},
		{"=?utf-8*de?q?B=C3=BCro?=", "Büro"},
		{"Büro roh", "Büro roh"},
		{"B\xfcro roh", "Büro roh"},
		{"a =?utf-8?q?b?= c", "a b c"},
		{"=?utf-8?q?unfinished", "=?utf-8?q?unfinished"},
		{"=?utf-8?z?b?=", "=?utf-8?z?b?="},
		{"=?=?utf-8?q?x?=", "=?x"},
		{"a\u202eb\x1b[31mc\x07\u200bd", "ab[31mcd"},
		{"folded\r\n\tand on", "folded and on"},
	} {
		if got := read(t, "Subject: "+c.raw+"\r\n\r\n").Summary().Subject; got != c.want {
			t.Errorf("%q: got %q, wanted %q", c.raw, got, c.want)
		}
	}
}

func TestAddressesAreReadAsPeopleWriteThem(t *testing.T) {
	for raw, want := range map[string]string{
		`Erika Muster <erika@city.de>, hans@city.de`: `[{Erika Muster erika@city.de} { hans@city.de}]`,
		`"Muster, Erika" <erika@city.de>`:            `[{Muster, Erika erika@city.de}]`,
		`=?utf-8?q?M=C3=BCller=2C_Jo?= <a@b.de>`:     `[{Müller, Jo a@b.de}]`,
		`hans@city.de (Hans (der) Zweite)`:           `[{Hans (der) Zweite hans@city.de}]`,
		`Team: a@b.de, B <b@b.de>;, c@b.de`:          `[{ a@b.de} {B b@b.de} { c@b.de}]`,
		`undisclosed-recipients:;`:                   `[{undisclosed-recipients }]`,
		`<@relay.de,@x.de:a@b.de>`:                   `[{ a@b.de}]`,
		`"a@b.de" <a@b.de>`:                          `[{ a@b.de}]`,
		`"boss@city.de" <thief@evil.example>`:        `[{boss@city.de thief@evil.example}]`,
		"evil\u202e <a@b.de>":                        `[{evil a@b.de}]`,
		`no address at all`:                          `[{no address at all }]`,
		`"unfinished <a@b.de>`:                       `[{ unfinished<a@b.de>}]`,
		`a@b.de,,, ;`:                                `[{ a@b.de}]`,
		`<>`:                                         `[]`,
		``:                                           `[]`,
		`=?utf-8?q?a=40b.de=3E=2C_?= <c@d.de>`:       `[{a@b.de>, c@d.de}]`,
		`Pete <pete(his account)@silly.test(host)>`:  `[{Pete pete@silly.test}]`,
		strings.Repeat("(", 1000) + "<a@b.de>":       `[]`,
	} {
		if got := fmt.Sprint(read(t, "To: "+raw+"\r\n\r\n").People("to")); got != want {
			t.Errorf("%.60q: got %s, wanted %s", raw, got, want)
		}
	}
}

func TestFileNamesAreSafeToShowAndToSave(t *testing.T) {
	for raw, want := range map[string]string{
		"Bescheid.pdf": "Bescheid.pdf", "../../etc/passwd": "passwd", `C:\Windows\system32\x.dll`: "x.dll", "/": "", "..": "", ".": "",
		".bashrc": "bashrc", "a\x00b\r\nc.txt": "ab c.txt", "Rechnung\u202efdp.exe": "Rechnungfdp.exe",
		"Rechnung.pdf" + strings.Repeat(" ", 200) + ".exe": "Rechnung.pdf.exe", "CON.txt": "_CON.txt", "lpt1": "_lpt1", "nul ": "_nul",
		`a<b>:"c|?*.txt`: "a_b___c___.txt", "x.txt. . .": "x.txt", "Rechnung.pdf\u2024exe": "Rechnung.pdf.exe",
		strings.Repeat("ä", 500) + ".pdf": strings.Repeat("ä", 73) + ".pdf", "a.\u200bp\u00addf": "a.pdf", "  ": "",
	} {
		if got := FileName(raw); got != want {
			t.Errorf("%q: got %q, wanted %q", raw, got, want)
		}
	}
}

func TestNamesOfAttachmentsAreFoundWhereverTheyStand(t *testing.T) {
	for header, want := range map[string]string{
		"Content-Disposition: attachment; filename=a.pdf":                                                "a.pdf",
		"Content-Disposition: attachment; filename=\"a;b.pdf\"; size=1":                                  "a;b.pdf",
		"Content-Disposition: attachment; filename*=utf-8'de'B%C3%BCro.pdf":                              "Büro.pdf",
		"Content-Disposition: attachment; filename*0*=utf-8''B%C3%BC; filename*1=ro; filename*2*=%2Epdf": "Büro.pdf",
		"Content-Disposition: attachment; filename*1=b.pdf; filename*0=a":                                "ab.pdf",
		"Content-Disposition: attachment; filename=plain.pdf; filename*=utf-8''lang.pdf":                 "lang.pdf",
		"Content-Disposition: attachment; filename=\"=?utf-8?q?B=C3=BCro=2Epdf?=\"":                      "Büro.pdf",
		"Content-Type: application/pdf; name=from type.pdf":                                              "from type.pdf",
		"Content-Disposition: attachment; filename=\"C:\\\\x\\\\a.pdf\"":                                 "a.pdf",
		"Content-Type: application/pdf":                                                                  "part-1.pdf",
		"Content-Disposition: attachment; filename=\"a":                                                  "a",
		"Content-Disposition: attachment; filename*=utf-8''%2e%2e%2fx%00.pdf":                            "x.pdf",
	} {
		parts := read(t, header+"\r\n\r\nx").Parts()
		if len(parts) != 1 || strings.TrimSuffix(parts[0].Name, ".txt") != want {
			t.Errorf("%s: got %+v, wanted %q", header, parts, want)
		}
	}
}

func TestTextsAreDecodedWhateverTheyDeclare(t *testing.T) {
	for _, c := range []struct{ head, body, want string }{
		{"Content-Type: text/plain; charset=utf-8", "Grüße", "Grüße"},
		{"Content-Type: text/plain; charset=us-ascii", "Grüße", "Grüße"},
		{"Content-Type: text/plain; charset=utf-8", "Gr\xfc\xdfe", "Grüße"},
		{"Content-Type: text/plain; charset=iso-8859-1", "Gr\xfc\xdfe \x80", "Grüße €"},
		{"Content-Type: text/plain; charset=iso-8859-1", "Grüße", "Grüße"},
		{"Content-Type: text/plain", "Gr\xfc\xdfe", "Grüße"},
		{"Content-Type: text/plain; charset=shift_jis", "\x83e\x83X\x83g", "テスト"},
		{"Content-Type: text/plain; charset=utf-16le", "H\x00i\x00", "Hi"},
		{"Content-Transfer-Encoding: quoted-printable", "Gr=C3=BC=\r\n=C3=9Fe=3d =XY =", "Grüße= =XY"},
		{"Content-Transfer-Encoding: base64", "R3LD\r\nvM!OfZ\nQ==", "Grüße"},
		{"Content-Transfer-Encoding: x-uuencode", "begin 644 x\r\n#0V%T\r\n`\r\nend\r\n", "Cat"},
		{"Content-Type: text/html", "<p>Gr&uuml;&szlig;e<br>B&amp;C <b>fett</b><script>x</script><ul><li>eins</ul><blockquote>alt", "Grüße\nB&C fett\n- eins\n> alt"},
		{"Content-Type: text/html", "<meta charset=windows-1251><p>\xcf\xf0\xe8", "При"},
		{"Content-Type: text/plain; format=flowed", "Ein Satz \r\nder weitergeht.\r\n> zitiert \r\n> und mehr\r\n-- \r\nHans", "Ein Satz der weitergeht.\n> zitiert und mehr\n-- \nHans"},
		{"Content-Type: text/plain; format=flowed; delsp=yes", "Donau \r\ndampf \r\nschiff", "Donaudampfschiff"},
		{"X: y", "a\x1b[2Jb\u202ec\rd", "a[2Jbc\nd"},
	} {
		if got := read(t, c.head+"\r\n\r\n"+c.body).Text(); got != c.want {
			t.Errorf("%s, %q: got %q, wanted %q", c.head, c.body, got, c.want)
		}
	}
}

// multi writes a multipart of parts, each with its own header.
func multi(kind, boundary string, parts ...string) string {
	var mail strings.Builder
	mail.WriteString("Content-Type: multipart/" + kind + "; boundary=\"" + boundary + "\"\r\n\r\npreamble\r\n")
	for _, p := range parts {
		mail.WriteString("--" + boundary + "\r\n" + p + "\r\n")
	}
	return mail.String() + "--" + boundary + "--\r\nepilogue\r\n"
}

func TestTheRightPartsAreShownAndTheOthersListed(t *testing.T) {
	plain, page, pdf := "Content-Type: text/plain\r\n\r\nplain", "Content-Type: text/html\r\n\r\n<p>page</p>", "Content-Type: application/pdf; name=a.pdf\r\n\r\nx"
	nested := "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n" + multi("mixed", "in", plain, pdf)
	for _, c := range []struct{ name, mail, text, paths, attached, kind string }{
		{"single", plain, "plain", "1", "", ""},
		{"alternative", multi("alternative", "a", plain, page), "plain", "1 2", "", ""},
		{"alternative of HTML alone", multi("alternative", "a", page), "page", "1", "", ""},
		{"mixed", multi("mixed", "a", multi("alternative", "b", plain, page), pdf), "plain", "1.1 1.2 2", "2", ""},
		{"related in alternative", multi("alternative", "a", plain, multi("related", "b", page, pdf)), "plain", "1 2.1 2.2", "2.2", ""},
		{"invitation", multi("alternative", "a", plain, page, "Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR"), "plain", "1 2 3", "3", Invitation},
		{"a text that is a file", multi("mixed", "a", plain, "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nfile"), "plain", "1 2", "2", ""},
		{"nested mail", multi("mixed", "a", plain, nested), "plain", "1 2 2.1 2.2", "2", ""},
		{"mail that is a mail", nested, "", "1 1.1 1.2", "1", ""},
		{"signed", multi("signed; protocol=\"application/pkcs7-signature\"", "a", plain, "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\nx"), "plain", "1 2", "", SMIMESigned},
		{"signed with PGP", multi("signed; protocol=\"application/pgp-signature\"", "a", plain, "Content-Type: application/pgp-signature\r\n\r\nx"), "plain", "1 2", "", PGPSigned},
		{"sealed with PGP", multi("encrypted", "a", "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1", "Content-Type: application/octet-stream\r\n\r\nx"), "", "1 2", "1 2", PGPSealed},
		{"sealed", "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\r\nx", "", "1", "1", SMIMESealed},
		{"signed in one", "Content-Type: application/x-pkcs7-mime; smime-type=signed-data\r\n\r\nx", "", "1", "1", SMIMESigned},
		{"PGP inline", "\r\n-----BEGIN PGP MESSAGE-----\r\nx", "-----BEGIN PGP MESSAGE-----\nx", "1", "", PGPSealed},
		{"winmail.dat", multi("mixed", "a", plain, "Content-Type: application/ms-tnef; name=winmail.dat\r\n\r\nx"), "plain", "1 2", "2", TNEF},
		{"report", multi("report", "a", plain, "Content-Type: message/delivery-status\r\n\r\nStatus: 5.1.1"), "plain", "1 2", "2", Report},
		{"digest", multi("digest", "a", "\r\nSubject: one\r\n\r\nplain"), "", "1 1.1", "1", ""},
		{"uuencoded", "\r\nsee\r\nbegin 644 ../x.exe\r\n#0V%T\r\n`\r\nend\r\nbye", "see\nbye", "1 1.uu1", "1.uu1", ""},
		{"no boundary comes", "Content-Type: multipart/mixed; boundary=x\r\n\r\nlost", "lost", "1", "", ""},
		{"no boundary at all", "Content-Type: multipart/mixed\r\n\r\nlost", "lost", "1", "", ""},
		{"boundaries within each other", multi("mixed", "a", multi("mixed", "a--b", plain), pdf), "plain", "1.1 2", "2", ""},
		{"one boundary for all", multi("mixed", "a", multi("mixed", "a", plain), pdf), "plain\n\npreamble\n\nplain", "", "", "any"},
		{"header cut by a boundary", "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: text/html\r\n--a\r\n\r\nsecond\r\n--a--", "second", "1 2", "", ""},
		{"a part that never ends", "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nfirst", "first", "1", "", ""},
	} {
		l := read(t, c.mail)
		var paths, attached []string
		for _, p := range l.Parts() {
			paths = append(paths, p.Path)
			if p.Attachment {
				attached = append(attached, p.Path)
			}
		}
		s := l.Summary()
		if c.kind == "any" {
			continue // which parts these are nobody can say; it is read all the same
		}
		if got := l.Text(); got != c.text || strings.Join(paths, " ") != c.paths || strings.Join(attached, " ") != c.attached || s.Kind != c.kind || s.Attachments != len(attached) {
			t.Errorf("%s: text %q, parts %v, attached %v, kind %q, %d attachments", c.name, got, paths, attached, s.Kind, s.Attachments)
		}
	}
}

func TestAPartOfAMailInAMailIsWholeWhateverEndsIt(t *testing.T) {
	inner := "Subject: inner\r\n" + multi("mixed", "in", "\r\none", "\r\ntwo")
	l := read(t, multi("mixed", "out", "Content-Type: message/rfc822\r\n\r\n"+inner, "\r\nafter"))
	for path, want := range map[string]string{"1": inner, "1.1": "one", "1.2": "two", "2": "after"} {
		r, ok := l.Part(path)
		if !ok {
			t.Fatalf("no part %s among %+v", path, l.Parts())
		}
		if got, _ := io.ReadAll(r); string(got) != want {
			t.Errorf("part %s: got %q, wanted %q", path, got, want)
		}
	}
	if got := l.Parts()[0].Name; got != "inner.eml" {
		t.Errorf("the mail is called %q", got)
	}
}

func TestASummarySaysWhatListsShow(t *testing.T) {
	s := read(t, "From: =?utf-8?q?J=C3=BCrgen?= <j@city.de>\r\nTo: a@city.de\r\nCc: b@city.de\r\nSubject: Re: Bauantrag\r\nDate: Mon, 23 Nov 2026 09:12:00 +0100\r\n"+
		"Message-ID: <2@city.de>\r\nIn-Reply-To: <1@city.de>\r\nReferences: <0@city.de> junk\r\n <1@city.de>\r\n\r\n> Zitat\r\nGuten  Tag,\r\n\r\nhier der Plan.\r\n-- \r\nJürgen").Summary()
	got := fmt.Sprintf("%v %v %v %q %s %s %v %v %q", s.From, s.To, s.Cc, s.Subject, s.Date.UTC().Format(time.RFC3339), s.MessageID, s.InReplyTo, s.References, s.Snippet)
	want := `[{Jürgen j@city.de}] [{ a@city.de}] [{ b@city.de}] "Re: Bauantrag" 2026-11-23T08:12:00Z 2@city.de [1@city.de] [0@city.de 1@city.de] "Guten Tag, hier der Plan."`
	if got != want {
		t.Errorf("got  %s\nwanted %s", got, want)
	}
}

// bombs are mails that want to cost time or memory. None may cost much of either.
func bombs() map[string]string {
	nest := func(n int, kind string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "Content-Type: %s; boundary=b%d\r\n\r\n--b%d\r\n", kind, i, i)
		}
		return b.String()
	}
	var manyWords string
	for range 20 { // parts of their own, for a header is bounded
		manyWords += "--a\r\nContent-Type: text/plain; name=\"" + strings.Repeat("=?u?q?a", 35_000) + "\"\r\n\r\nx\r\n"
	}
	manyWords = "Content-Type: multipart/mixed; boundary=a\r\n\r\n" + manyWords
	var letters string // 2,600 of them, each another one
	for r := rune(0x4e00); len(letters) < 7800; r++ {
		letters += string(r)
	}
	unused := []string{"Content-Type: text/html\r\n\r\n" + strings.Repeat("cid:", 1_000_000)}
	within := "Content-Type: message/rfc822\r\n\r\n" + nest(25, "multipart/mixed")
	for i := range 990 {
		unused = append(unused, fmt.Sprintf("Content-Type: image/png\r\nContent-ID: <%0100d>\r\n\r\nx", i))
		within += "\r\n--b24\r\nContent-Type: image/png\r\nContent-ID: <x>\r\n\r\nx"
	}
	return map[string]string{
		"10,000 parts":      multi("mixed", "a", strings.Split(strings.Repeat("\r\nx|", 10_000), "|")...),
		"nested":            nest(10_000, "multipart/mixed"),
		"nested mails":      strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 100_000),
		"digests":           nest(5_000, "multipart/digest"),
		"100,000 fields":    strings.Repeat("X: y\r\n", 100_000) + "\r\nx",
		"one long field":    "Subject: " + strings.Repeat("x", 5<<20) + "\r\n\r\nx",
		"folded":            "Subject: a\r\n" + strings.Repeat(" x\r\n", 200_000) + "\r\nx",
		"encoded words":     "Subject: " + strings.Repeat("=?utf-8?q?a?= ", 20_000) + "\r\n\r\nx",
		"open words":        "Subject: " + strings.Repeat("=?utf-8?q?", 20_000) + "\r\n\r\nx",
		"parameters":        "Content-Type: text/plain" + strings.Repeat("; a*0*=x", 20_000) + "\r\n\r\nx",
		"addresses":         "To: " + strings.Repeat("a@b.de, ", 30_000) + "\r\n\r\nx",
		"comments":          "To: " + strings.Repeat("(a", 100_000) + "\r\n\r\nx",
		"angles":            "To: " + strings.Repeat("<a(", 80_000) + "\r\n\r\nx",
		"references":        "References: " + strings.Repeat("<a@b> ", 40_000) + "\r\n\r\nx",
		"a long text":       "\r\n" + strings.Repeat("All work and no play.\r\n", 400_000),
		"quotations":        "\r\n" + strings.Repeat(">", 1<<20) + "\r\n" + strings.Repeat("> x\r\n", 100_000),
		"flowed":            "Content-Type: text/plain; format=flowed\r\n\r\n" + strings.Repeat("> x \r\n", 200_000),
		"uu":                "\r\n" + strings.Repeat("begin 644 x\r\n#0V%T\r\n", 50_000),
		"boundaries":        multi("mixed", "a", strings.Repeat("--a-\r\n--b--\r\n", 100_000)),
		"one long boundary": "Content-Type: multipart/mixed; boundary=" + strings.Repeat("x", 100_000) + "\r\n\r\n" + strings.Repeat("--x\r\n", 100_000),
		"base64 of nothing": "Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("=\r\n", 1_000_000),
		"links":             "\r\n" + strings.Repeat("https://a.de/ www.b.de c@d.de ", 30_000),
		"brackets":          "\r\nhttps://a.de/" + strings.Repeat(")", 100_000),
		"HTML in text":      "Content-Type: text/html\r\n\r\n" + strings.Repeat("<blockquote><ul><li>x", 100_000),
		"marks":             "Subject: a" + strings.Repeat("\u0301", 50_000) + "\r\n\r\nx",
		"lines like uu":     "\r\nbegin \r\n" + strings.Repeat("M\r\n", 100_000),
		"begins of uu":      "\r\n" + strings.Repeat("begin 644 x\r\n", 100_000) + strings.Repeat("M\r\n", 100_000),
		"more brackets":     "\r\nhttp://a" + strings.Repeat(")", 2_000_000),
		"both brackets":     "\r\nhttp://a" + strings.Repeat(")]", 1_000_000),
		"angle comments":    "To: <a" + strings.Repeat("()", 100_000) + ">\r\n\r\nx",
		"words without end": manyWords,
		"words of no kind":  strings.ReplaceAll(manyWords, "?q?", "?x?"),
		"pictures of nothing": multi("mixed", "a", "Content-Type: text/html\r\n\r\n"+strings.Repeat("<img src=cid:x>", 50_000),
			"Content-Type: image/png\r\nContent-ID: <x>\r\nContent-Transfer-Encoding: base64\r\n\r\n"+strings.Repeat("!", 1<<20)),
		"a picture that grows": multi("mixed", "a", "Content-Type: text/html\r\n\r\n<img src=cid:x>",
			"Content-Type: image/png\r\nContent-ID: <x>\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n"+strings.Repeat("M\n", 4_000_000)),
		"pictures that nobody shows": multi("mixed", "a", unused...),
		"pictures of mails within":   multi("mixed", "a", "Content-Type: text/html\r\n\r\n"+strings.Repeat("<img src=cid:x>", 250_000), within),
		"hosts of many letters":      "Content-Type: text/html; charset=utf-8\r\n\r\n" + strings.Repeat(`<a href="http://`+letters+`.de">x</a>`, 100),
	}
}

// processor returns how much time of processors the test has used, whatever else runs.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func TestNoMailCostsMuchTimeOrMemory(t *testing.T) {
	for name, mail := range bombs() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := processor(t)
		l := read(t, mail)
		s, _ := l.Summary(), l.AllText()
		page, _ := l.HTML(HTMLOptions{})
		took := processor(t) - start
		runtime.ReadMemStats(&after)
		if took > raced*3*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > raced*600<<20 {
			t.Errorf("%s: used %d MB for %d KB", name, used>>20, len(mail)>>10)
		}
		if wrong := checkPage(page, false); len(wrong) > 0 {
			t.Errorf("%s: the page holds %q", name, wrong[0])
		}
		if len(s.To) > summaryPeople || len(s.References) > maxIDs || len(s.Subject) > subjectLength || len(l.Parts()) > 1100 {
			t.Errorf("%s: the summary is too long", name)
		}
	}
}

func TestWhatIsLeftOutIsSaid(t *testing.T) {
	all := bombs()
	for name, want := range map[string]Omission{
		"10,000 parts": LeftParts, "nested": LeftDepth, "nested mails": LeftDepth, "100,000 fields": LeftHeader,
		"one long field": LeftHeader, "a long text": LeftText,
	} {
		l := read(t, all[name])
		l.Text()
		if got := l.Left(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: left out %v, wanted %s", name, got, want)
		}
	}
	l, _ := Parse(strings.NewReader("Subject: x\r\n\r\nabcdef"), Limits{Size: 16})
	if got := fmt.Sprint(l.Left(), l.Text()); got != "[size]ab" {
		t.Errorf("a mail that is too long: got %s", got)
	}
	l = read(t, "Content-Type: text/plain; charset=x-klingon\r\n\r\nGr\xfc\xdfe")
	if got := fmt.Sprint(l.Text(), l.Left()); got != "Grüße[charset]" {
		t.Errorf("an unknown charset: got %s", got)
	}
}

func TestAnErrorOfTheReaderIsTold(t *testing.T) {
	if _, err := Parse(io.MultiReader(strings.NewReader("Subject: x"), brokenReader{}), Limits{}); err == nil {
		t.Error("wanted the reader's error")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestEveryMailOfTheCollectionIsShown(t *testing.T) {
	const dir = "../../shared/mails"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the collection of mails is not here")
	}
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".eml" {
			return err
		}
		count++
		mail, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		start := processor(t)
		l := read(t, string(mail))
		s := l.Summary()
		page, _ := l.HTML(HTMLOptions{})
		if took := processor(t) - start; took > time.Second {
			t.Errorf("%s: took %v", path, took)
		}
		if wrong := checkPage(page, false); len(wrong) > 0 {
			t.Errorf("%s: the page holds %q", path, wrong)
		}
		if s.Subject == "" && s.Snippet == "" && len(s.From) == 0 {
			t.Errorf("%s: a list would show nothing of it: %+v", path, s)
		}
		checkStrings(t, path, l)
		return nil
	})
	if err != nil || count < 100 {
		t.Fatalf("read %d mails, %v; wanted the whole collection", count, err)
	}
}

// checkStrings looks for what must not leave a letter.
func checkStrings(t *testing.T, what string, l *Letter) {
	t.Helper()
	s := l.Summary()
	lines := []string{s.Subject, s.Snippet, s.MessageID}
	for _, p := range append(append(s.From, s.To...), s.Cc...) {
		lines = append(lines, p.Name, p.Address)
	}
	for _, p := range l.Parts() {
		lines = append(lines, p.Name, p.Type, p.Charset, p.CID, p.Disposition, p.Path)
		if strings.ContainsAny(p.Name, `/\`) || p.Name == "" || strings.HasPrefix(p.Name, ".") {
			t.Errorf("%s: file name %q", what, p.Name)
		}
	}
	for _, line := range lines {
		if i := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) || invisible(r) }); i >= 0 {
			t.Errorf("%s: %q is harmful", what, line)
		}
	}
	if i := strings.IndexFunc(l.Text(), func(r rune) bool { return r != '\n' && r != '\t' && (unicode.IsControl(r) || invisible(r)) }); i >= 0 {
		t.Errorf("%s: the text is harmful: %q", what, l.Text()[i:min(i+20, len(l.Text()))])
	}
}

func FuzzParse(f *testing.F) {
	for _, mail := range bombs() {
		f.Add([]byte(mail[:min(len(mail), 2000)]))
	}
	f.Add([]byte("From: \"a\\\" <b@c>\r\nContent-Disposition: attachment; filename*0*=utf-8''%; filename*1*=%e2%80%ae\r\n\r\n"))
	f.Fuzz(func(t *testing.T, mail []byte) {
		l, err := Parse(bytes.NewReader(mail), Limits{Parts: 50, Depth: 8, Decoded: 64 << 10})
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		checkStrings(t, fmt.Sprintf("%q", mail), l)
		page, _ := l.HTML(HTMLOptions{})
		if wrong := checkPage(page, false); len(wrong) > 0 {
			t.Errorf("%q: the page holds %q", mail, wrong)
		}
		for _, p := range l.Parts() {
			if r, ok := l.Part(p.Path); !ok {
				t.Errorf("%q: there is no part %s", mail, p.Path)
			} else if _, err := io.Copy(io.Discard, r); err != nil {
				t.Errorf("%q: part %s: %v", mail, p.Path, err)
			}
		}
	})
}
