package dsn

import (
	"fmt"
	"mime"
	"strings"
	"time"
)

const (
	// maxTold bounds the recipients in the part for people; the part for machines has all.
	maxTold = 20
	// maxSubject bounds the subject that is quoted, in characters.
	maxSubject = 150
)

// A cause is why a delivery did not come about, as far as people can use it.
type cause int

const (
	unclear cause = iota
	noMailbox
	noDomain
	full
	tooBig
	unwanted
	expired
	byPerson
)

// causeOf reads the cause from the status: RFC 3463, section 3.
func (to *Recipient) cause() cause {
	if to.Why != "" {
		return byPerson
	}
	_, detail, _ := strings.Cut(to.status(), ".")
	switch detail {
	case "1.1", "1.3", "1.6", "2.1":
		return noMailbox
	case "1.2", "1.10", "4.4":
		return noDomain
	case "2.2":
		return full
	case "2.3", "3.4":
		return tooBig
	case "4.7":
		return expired
	}
	if strings.HasPrefix(detail, "7.") {
		return unwanted
	}
	return unclear
}

// A language holds the sentences of one language.
type language struct {
	heads                       map[Action]string
	subject, arrived, receipt   string // with the value behind
	to, machine, ours, why      string // likewise
	until, todo                 string // likewise
	delayed, delivered, relayed string
	causes, advice              map[cause]string
	more                        string // %d recipients
	whole, header               string // what is attached
	questions                   string // %s: an address
	clock                       string // layout of times
}

var german = language{
	heads: map[Action]string{
		Failed:    "Ihre Nachricht konnte nicht zugestellt werden.",
		Delayed:   "Ihre Nachricht konnte noch nicht zugestellt werden.",
		Delivered: "Ihre Nachricht wurde zugestellt.",
		Relayed:   "Ihre Nachricht wurde weitergegeben.",
	},
	subject: "Betreff: ", arrived: "Eingegangen: ", receipt: "Beleg: ",
	to: "An: ", machine: "Antwort des Mailservers %s: ", ours: "Was geschah: ", why: "Grund: ",
	until: "Wir versuchen es weiter bis ", todo: "Was Sie tun können: ",
	delayed:   "Sie müssen nichts tun. Bitte senden Sie die Nachricht nicht noch einmal.",
	delivered: "Sie liegt im Postfach des Empfängers.",
	relayed:   "Der nächste Mailserver hat sie angenommen. Ob sie das Postfach erreicht, meldet er nicht zurück.",
	causes: map[cause]string{
		unclear:   "Der Mailserver des Empfängers hat die Nachricht abgelehnt.",
		noMailbox: "Diese Adresse gibt es dort nicht (mehr).",
		noDomain:  "Die Domain hinter dem @ nimmt keine Mail an, oder es gibt sie nicht.",
		full:      "Das Postfach des Empfängers ist voll.",
		tooBig:    "Die Nachricht ist dem Mailserver des Empfängers zu groß.",
		unwanted:  "Der Mailserver des Empfängers will diese Nachricht nicht annehmen.",
		expired:   "Der Mailserver des Empfängers hat sie trotz vieler Versuche nicht angenommen. Wir versuchen es nicht weiter.",
		byPerson:  "Die Mailstelle hat die Nachricht an Sie zurückgegeben.",
	},
	advice: map[cause]string{
		unclear:   "Lesen Sie die Antwort des Mailservers, oder erreichen Sie den Empfänger auf anderem Weg.",
		noMailbox: "Prüfen Sie die Schreibweise der Adresse, und senden Sie die Nachricht dann noch einmal.",
		noDomain:  "Prüfen Sie die Schreibweise der Adresse hinter dem @.",
		full:      "Erreichen Sie den Empfänger auf anderem Weg, oder senden Sie die Nachricht später noch einmal.",
		tooBig:    "Senden Sie große Anhänge auf anderem Weg.",
		unwanted:  "Erreichen Sie den Empfänger auf anderem Weg. Die Antwort des Mailservers hilft dem, der Ihre Mail betreut.",
		expired:   "Erreichen Sie den Empfänger auf anderem Weg, oder senden Sie die Nachricht später noch einmal.",
		byPerson:  "Lesen Sie den Grund, oder fragen Sie die Adresse unten.",
	},
	more:      "… und %d weitere Empfänger; sie stehen im Anhang \"Delivery report\".",
	whole:     "Ihre Nachricht hängt an.",
	header:    "Der Kopf Ihrer Nachricht hängt an, ihr Inhalt nicht.",
	questions: "Dies schrieb ein Programm. Fragen beantwortet %s.",
	clock:     "02.01.2006, 15:04 Uhr (-0700)",
}

var english = language{
	heads: map[Action]string{
		Failed:    "Your message could not be delivered.",
		Delayed:   "Your message could not be delivered yet.",
		Delivered: "Your message was delivered.",
		Relayed:   "Your message was passed on.",
	},
	subject: "Subject: ", arrived: "Received: ", receipt: "Receipt: ",
	to: "To: ", machine: "What the mail server %s said: ", ours: "What happened: ", why: "Reason: ",
	until: "We go on trying until ", todo: "What you can do: ",
	delayed:   "You need not do anything. Please do not send the message again.",
	delivered: "It lies in the recipient's mailbox.",
	relayed:   "The next mail server took it. It does not tell whether the mailbox is reached.",
	causes: map[cause]string{
		unclear:   "The recipient's mail server refused the message.",
		noMailbox: "This address does not exist there (any more).",
		noDomain:  "The domain behind the @ takes no mail, or does not exist.",
		full:      "The recipient's mailbox is full.",
		tooBig:    "The message is too large for the recipient's mail server.",
		unwanted:  "The recipient's mail server does not want to take this message.",
		expired:   "The recipient's mail server did not take it in spite of many attempts. We do not try again.",
		byPerson:  "The mail office has returned the message to you.",
	},
	advice: map[cause]string{
		unclear:   "Read what the mail server said, or reach the recipient in another way.",
		noMailbox: "Check how the address is written, and send the message again.",
		noDomain:  "Check how the address is written behind the @.",
		full:      "Reach the recipient in another way, or send the message again later.",
		tooBig:    "Send large attachments in another way.",
		unwanted:  "Reach the recipient in another way. The mail server's words help whoever looks after your mail.",
		expired:   "Reach the recipient in another way, or send the message again later.",
		byPerson:  "Read the reason, or ask the address below.",
	},
	more:      "… and %d more recipients; they are in the attachment \"Delivery report\".",
	whole:     "Your message is attached.",
	header:    "The header of your message is attached, its content is not.",
	questions: "A program wrote this. %s answers questions.",
	clock:     "2006-01-02 15:04 (-0700)",
}

// worst is the action that people must hear of first.
func (r *Report) worst() Action {
	for _, a := range []Action{Failed, Delayed, Relayed} {
		for i := range r.Recipients {
			if r.Recipients[i].Action == a {
				return a
			}
		}
	}
	return Delivered
}

// subject is in both languages, and in US-ASCII.
func (r *Report) subject() string {
	return map[Action]string{
		Failed:    "Nicht zugestellt / Undelivered mail",
		Delayed:   "Noch nicht zugestellt / Delayed mail",
		Relayed:   "Weitergegeben / Relayed mail",
		Delivered: "Zugestellt / Delivered mail",
	}[r.worst()]
}

// humanPart writes what people read; whole says that all of the message is attached.
func (r *Report) humanPart(whole bool) part {
	var b strings.Builder
	r.tell(&b, &german, whole)
	b.WriteString("\r\n----\r\n\r\n")
	r.tell(&b, &english, whole)
	return part{kind: "text/plain; charset=utf-8", about: "Notification", encoding: "quoted-printable", body: quoted([]byte(b.String()))}
}

// tell writes the text of one language.
func (r *Report) tell(b *strings.Builder, l *language, whole bool) {
	line := func(words ...string) { b.WriteString(strings.Join(words, "") + "\r\n") }
	line(l.heads[r.worst()])
	line()
	if s := r.originalSubject(); s != "" {
		line(l.subject, s)
	}
	line(l.arrived, r.local(r.Arrived, l))
	if r.Receipt != "" {
		line(l.receipt, plain(r.Receipt, 40))
	}
	for i := range r.Recipients {
		line()
		if i == maxTold {
			line(fmt.Sprintf(l.more, len(r.Recipients)-i))
			break
		}
		r.tellOne(line, l, &r.Recipients[i])
	}
	line()
	if whole {
		line(l.whole)
	} else {
		line(l.header)
	}
	line(fmt.Sprintf(l.questions, r.From.String()))
}

// tellOne writes what became of one recipient's delivery.
func (r *Report) tellOne(line func(...string), l *language, to *Recipient) {
	line(l.to, plain(to.Address.String(), 320))
	switch to.Action {
	case Failed:
		c := to.cause()
		line("  ", l.causes[c])
		if to.Why != "" {
			line("  ", l.why, plain(to.Why, maxWords))
		}
		line("  ", l.todo, l.advice[c])
	case Delayed:
		line("  ", l.delayed)
		if !to.Until.IsZero() {
			line("  ", l.until, r.local(to.Until, l), ".")
		}
	case Delivered:
		line("  ", l.delivered)
	case Relayed:
		line("  ", l.relayed)
	}
	switch said := plain(to.words(), maxWords); {
	case to.Action == Delivered || to.Action == Relayed:
	case to.Reply.Code != 0:
		line("  ", fmt.Sprintf(l.machine, host(to.Server)), said)
	case to.Reply.Text != "":
		line("  ", l.ours, plain(to.Reply.Text, maxWords))
	}
}

// local writes a time as people at our place read it.
func (r *Report) local(t time.Time, l *language) string {
	return t.In(r.Date.Location()).Format(l.clock)
}

// originalSubject decodes the subject of the message, for people.
func (r *Report) originalSubject() string {
	raw := headerField(r.Original.Header, "Subject")
	if decoded, err := new(mime.WordDecoder).DecodeHeader(raw); err == nil {
		raw = decoded
	}
	return plain(raw, maxSubject)
}
