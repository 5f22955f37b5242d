package account

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"rsc.io/qr"
)

// Sizes on the sheet, in millimetres and points.
const (
	sheetMargin = 20.0
	sheetWidth  = 210.0 - 2*sheetMargin
	qrSize      = 52.0
)

// sheetWords are the texts of a sheet.
type sheetWords struct {
	title, intro, code, page, until, secret, what string
	steps                                         [4]string
	after                                         []string
	date                                          string // layout
}

var sheetGerman = sheetWords{
	title:  "Ihr Zugang zum Notfall-Postfach",
	intro:  "Wenn Outlook oder Ihr anderes Mailprogramm nicht geht, lesen und schreiben Sie Ihre Mails hier weiter – an jedem Computer und jedem Telefon mit Internet.",
	code:   "Ihr Code (einmal zu benutzen)",
	page:   "Adresse der Notfall-Seite",
	until:  "Gültig bis %s, wenn er nicht vorher benutzt oder gesperrt wird.",
	secret: "Bewahren Sie dieses Blatt wie einen Schlüssel auf, am besten nicht im Büro.",
	what:   "So geht es",
	steps: [4]string{
		"Halten Sie die Kamera Ihres Telefons auf das Quadrat. Oder tippen Sie am Computer die Adresse oben ein und dann den Code.",
		"Wählen Sie ein eigenes Passwort mit mindestens 12 Zeichen, etwa drei Wörter. Damit ist der Code verbraucht; ab jetzt gilt Ihr Passwort.",
		"Wenn die Seite danach fragt: Richten Sie einen zweiten Schlüssel ein (Fingerabdruck, Gesicht oder eine App auf dem Telefon).",
		"Lesen und beantworten Sie Ihre Mails. Oben auf jeder Seite steht, wie die Lage ist.",
	},
	after: []string{
		"Sie können das schon heute tun, auch wenn alles läuft. Dann sind Sie im Ernstfall sofort bereit.",
		"Was Sie im Notfall-Postfach tun, kommt später von selbst in Ihr gewohntes Postfach zurück.",
		"Blatt verloren, oder hat es jemand gesehen? Sagen Sie Ihrer IT Bescheid: Sie sperrt den Code und druckt einen neuen.",
		"Niemand fragt Sie am Telefon oder per Mail nach diesem Code.",
	},
	date: "02.01.2006",
}

var sheetEnglish = sheetWords{
	title:  "Your way into the emergency mailbox",
	intro:  "When Outlook or your other mail program does not work, go on reading and writing your mail here, on any computer and any telephone with Internet.",
	code:   "Your code (to be used once)",
	page:   "Address of the emergency page",
	until:  "Good until %s, unless it is used or withdrawn before.",
	secret: "Keep this sheet like a key, best not in the office.",
	what:   "What to do",
	steps: [4]string{
		"Point your telephone's camera at the square. Or type the address above on a computer, and then the code.",
		"Choose a password of your own with at least 12 characters, such as three words. The code is used up then; from now on your password counts.",
		"If the page asks for it, set up a second key (fingerprint, face, or an app on your telephone).",
		"Read and answer your mail. Every page says on top what state things are in.",
	},
	after: []string{
		"You can do this today, while everything works. Then you are ready at once when it does not.",
		"What you do in the emergency mailbox comes back into your usual mailbox by itself.",
		"Lost the sheet, or has somebody seen it? Tell your IT: they withdraw the code and print another.",
		"Nobody will ask you for this code on the telephone or by mail.",
	},
	date: "2 January 2006",
}

// A printer writes sheets into one document.
type printer struct {
	pdf   *fpdf.Fpdf
	known map[rune]bool // characters that the font has
	font  *sfnt.Font
}

// PrintSheets writes a PDF with a page for each sheet, in its person's language. Names and
// departments are hostile: what is no letter is left out, and what is too long is cut.
func PrintSheets(w io.Writer, sheets []Sheet, now time.Time) error {
	font, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		return fmt.Errorf("read the font: %w", err)
	}
	p := &printer{pdf: fpdf.New("P", "mm", "A4", ""), known: map[rune]bool{}, font: font}
	p.pdf.AddUTF8FontFromBytes("go", "", goregular.TTF)
	p.pdf.AddUTF8FontFromBytes("go", "B", gobold.TTF)
	p.pdf.AddUTF8FontFromBytes("mono", "B", gomonobold.TTF)
	p.pdf.SetCreationDate(now)
	p.pdf.SetModificationDate(now)
	p.pdf.SetProducer("Doppelboden", true)
	p.pdf.SetMargins(sheetMargin, sheetMargin, sheetMargin)
	p.pdf.SetAutoPageBreak(false, 0)
	for i := range sheets {
		if err := p.sheet(&sheets[i]); err != nil {
			return err
		}
	}
	if err := p.pdf.Output(w); err != nil {
		return fmt.Errorf("write the sheets: %w", err)
	}
	return nil
}

// sheet writes one page.
func (p *printer) sheet(s *Sheet) error {
	words := &sheetGerman
	if s.Person.Language == "en" {
		words = &sheetEnglish
	}
	f := p.pdf
	f.AddPage()
	p.text("B", 22, 10, words.title)
	f.Ln(1)
	who := s.Person.Name
	if who == "" {
		who = s.Person.Address.String()
	}
	p.text("B", 15, 7.5, p.fit("B", 15, who))
	line := s.Person.Address.String()
	if s.Person.Department != "" {
		line += "   ·   " + s.Person.Department
	}
	p.text("", 11, 6, p.fit("", 11, line))
	f.Ln(4)
	p.text("", 12, 6, words.intro)
	f.Ln(4)
	if err := p.codeBox(s, words); err != nil {
		return err
	}
	p.text("B", 15, 8, words.what)
	f.Ln(1)
	for i, step := range words.steps {
		p.numbered(i+1, step)
	}
	f.Ln(2)
	f.SetDrawColor(120, 120, 120)
	f.Line(sheetMargin, f.GetY(), sheetMargin+sheetWidth, f.GetY())
	f.Ln(4)
	for _, note := range words.after {
		p.text("", 10.5, 5.2, note)
		f.Ln(1.2)
	}
	return f.Error()
}

// codeBox writes the code, the address and the square that a camera reads.
func (p *printer) codeBox(s *Sheet, words *sheetWords) error {
	f := p.pdf
	top, height := f.GetY(), qrSize+12
	f.SetDrawColor(0, 0, 0)
	f.SetLineWidth(0.5)
	f.Rect(sheetMargin, top, sheetWidth, height, "D")
	f.SetLineWidth(0.2)
	left := sheetMargin + 6
	put := func(y float64, style string, size float64, family, text string) {
		f.SetFont(family, style, size)
		f.Text(left, top+y, text)
	}
	put(10, "", 11, "go", words.code)
	groups := strings.Split(s.Code, "-")
	half := len(groups) / 2
	put(22, "B", 27, "mono", strings.Join(groups[:half], " "))
	put(34, "B", 27, "mono", strings.Join(groups[half:], " "))
	put(44, "", 11, "go", words.page)
	address := strings.TrimPrefix(s.Page, "https://")
	size := 14.0
	for f.SetFont("go", "B", size); f.GetStringWidth(address) > sheetWidth-qrSize-18 && size > 7; f.SetFont("go", "B", size) {
		size -= 0.5
	}
	put(51, "B", size, "go", address)
	f.SetFont("go", "", 9)
	f.SetXY(left-1, top+54)
	f.MultiCell(sheetWidth-qrSize-18, 4.2, fmt.Sprintf(words.until, s.Until.Local().Format(words.date)), "", "L", false)
	if err := p.square(sheetMargin+sheetWidth-qrSize-6, top+6, s.Link()); err != nil {
		return err
	}
	f.SetY(top + height + 3)
	p.text("", 10.5, 5.2, words.secret)
	f.Ln(4)
	return nil
}

// square draws a QR code, a rectangle for each run of dark modules in a row.
func (p *printer) square(x, y float64, text string) error {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return fmt.Errorf("make the QR code: %w", err)
	}
	module := qrSize / float64(code.Size)
	p.pdf.SetFillColor(0, 0, 0)
	for row := range code.Size {
		for from := 0; from < code.Size; from++ {
			to := from
			for to < code.Size && code.Black(to, row) {
				to++
			}
			if to > from {
				// A little more than the module, or printers leave hairlines between rows.
				p.pdf.Rect(x+float64(from)*module, y+float64(row)*module, float64(to-from)*module, module*1.02, "F")
				from = to
			}
		}
	}
	return nil
}

// text writes a paragraph.
func (p *printer) text(style string, size, height float64, text string) {
	p.pdf.SetFont("go", style, size)
	p.pdf.MultiCell(sheetWidth, height, p.printable(text), "", "L", false)
}

// numbered writes a step with its number in front.
func (p *printer) numbered(n int, text string) {
	f := p.pdf
	y := f.GetY()
	f.SetFont("go", "B", 16)
	f.Text(sheetMargin, y+5.5, fmt.Sprint(n))
	f.SetXY(sheetMargin+9, y)
	f.SetFont("go", "", 12)
	f.MultiCell(sheetWidth-9, 6, text, "", "L", false)
	f.Ln(2.2)
}

// fit cuts a line to the width of the sheet.
func (p *printer) fit(style string, size float64, line string) string {
	runes := []rune(p.printable(line))
	runes = runes[:min(len(runes), 200)]
	p.pdf.SetFont("go", style, size)
	if p.pdf.GetStringWidth(string(runes)) <= sheetWidth-2 {
		return string(runes)
	}
	for len(runes) > 1 && p.pdf.GetStringWidth(string(runes)+"…") > sheetWidth-2 {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// printable leaves out what the font has no picture of, and what is no character.
func (p *printer) printable(text string) string {
	var buf sfnt.Buffer
	return strings.Map(func(r rune) rune {
		if r == ' ' {
			return r
		}
		known, asked := p.known[r]
		if !asked {
			index, err := p.font.GlyphIndex(&buf, r)
			known = err == nil && index != 0 && r <= 0xffff && unicode.IsPrint(r)
			p.known[r] = known
		}
		if known {
			return r
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return '?'
	}, text)
}

// QR returns a QR code as SVG, for pages: dark on white with the quiet zone that cameras need.
func QR(text string) (string, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("make the QR code: %w", err)
	}
	var b bytes.Buffer
	side := code.Size + 8
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" aria-hidden="true"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, side, side, side, side)
	for row := range code.Size {
		for from := 0; from < code.Size; from++ {
			to := from
			for to < code.Size && code.Black(to, row) {
				to++
			}
			if to > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+4, row+4, to-from, to-from)
				from = to
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String(), nil
}
