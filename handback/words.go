package handback

import (
	"fmt"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// words are what letters say in one language.
type words struct {
	bringSubject, bringBegin, bringMore, listed string
	finalSubject, openedEnd, notDone, end       string
	keptSubject, kept                           string
	unknown, unreadable                         string
	why                                         map[string]string

	brought    func(n int) string
	andMore    func(n int) string
	mail       func(l mailLine, zone *time.Location) string
	deed       func(t *task) string
	finalBegin func(from, to time.Time) string
	// openedBegin is finalBegin for who has opened the mailbox and changed nothing.
	openedBegin func(from, to time.Time) string
	// keptBegin is finalBegin where the groupware refuses something.
	keptBegin func(from, to time.Time) string
	counts    func(came int64, c store.HandbackCounts) string
}

// wordsIn returns those of a language; German where there is none.
func wordsIn(language string) *words {
	if language == "en" {
		return &english
	}
	return &german
}

var german = words{
	bringSubject: "Was Sie im Notfall-Postfach geschrieben haben",
	bringBegin: "Guten Tag,\n\nSie haben im Notfall-Postfach gearbeitet. Wir können Ihr Postfach nicht selbst\nöffnen. Deshalb kommt hier als Anhang, was Sie geschrieben haben. Ihre E-Mails sind\n" +
		"damals schon versendet worden; Sie müssen nichts noch einmal senden.\n",
	bringMore:    "Es ist zu viel für eine E-Mail; der Rest folgt in weiteren.\n",
	listed:       "\nDas haben Sie sonst noch getan. Bitte holen Sie es nach, wo es Ihnen wichtig ist:\n\n",
	finalSubject: "Ihr Postfach ist wieder auf dem Stand des Notfall-Postfachs",
	openedEnd:    "\nNichts davon wartet mehr auf die Übergabe an Ihr Postfach. Gesendet oder verändert\nhaben Sie im Notfall-Postfach nichts.\n",
	notDone:      "\nDas ging nicht:\n",
	end:          "\nDiese Nachricht hat ein Programm geschrieben. Sie brauchen nicht zu antworten.\n",
	keptSubject:  "Übergabe aus dem Notfall-Postfach: nicht alles ging",
	kept: "\nDas hier hat Ihr Postfach nicht angenommen. Es liegt weiter im Notfall-Postfach und geht\n" +
		"nicht verloren. Ihre IT-Abteilung kann es Ihnen geben; bitte wenden Sie sich an sie, wenn\nSie es brauchen:\n",
	unknown:    "eine E-Mail, die es nicht mehr gibt",
	unreadable: "eine E-Mail, die sich nicht lesen lässt",
	why: map[string]string{
		whyGone:      "Diese E-Mails gibt es in Ihrem Postfach nicht mehr. Markierungen konnten wir daher nicht setzen:",
		whyAmbiguous: "Diese E-Mails gibt es in Ihrem Postfach mehrmals. Wir haben keine davon verändert:",
		whyEnded:     "Diese E-Mails wurden Ihrem Postfach nie zugestellt:",
		whyTooLarge:  "Zu groß für Ihr Postfach:",
		whyUnfit:     "Enthält Zeichen, die sich nicht übertragen lassen:",
		whyHeld:      "Diese E-Mails sind für Sie gekommen. Ihr Postfach weist sie ab, oder sie werden noch geprüft:",
		whyFull:      "Ihr Postfach ist voll. Sobald Platz ist, kommt das von selbst:",
		whyRefused:   "Ihr Postfach lässt das zurzeit nicht zu. Wir versuchen es weiter:",
	},
	brought: func(n int) string {
		return fmt.Sprintf("\nAngehängt: %s.\n", some(n, "eine E-Mail", "E-Mails"))
	},
	andMore: func(n int) string { return fmt.Sprintf("- und %d weitere\n", n) },
	mail: func(l mailLine, zone *time.Location) string {
		return line(l.Date.In(zone).Format("02.01.2006 15:04"), "von", l.From, l.Subject, "(ohne Betreff)")
	},
	deed: func(t *task) string {
		return acts(t, "gelöscht", "in den Ordner „%s“ gelegt", "gelesen", "beantwortet", "weitergeleitet", "gekennzeichnet", "Kennzeichen geändert")
	},
	finalBegin: func(from, to time.Time) string {
		return fmt.Sprintf("Guten Tag,\n\nwas Sie im Notfall-Postfach getan haben, ist jetzt in Ihrem Postfach.\n\nVom %s bis %s Uhr:\n\n",
			from.Format("02.01.2006 15:04"), to.Format("02.01.2006 15:04"))
	},
	keptBegin: func(from, to time.Time) string {
		return fmt.Sprintf("Guten Tag,\n\nwas Sie im Notfall-Postfach getan haben, ist jetzt in Ihrem Postfach – bis auf das, was\nunten steht.\n\nVom %s bis %s Uhr:\n\n",
			from.Format("02.01.2006 15:04"), to.Format("02.01.2006 15:04"))
	},
	openedBegin: func(from, to time.Time) string {
		return fmt.Sprintf("Guten Tag,\n\nIhr Postfach funktioniert wieder. Das Notfall-Postfach brauchen Sie nicht mehr.\n\nVom %s bis %s Uhr:\n\n",
			from.Format("02.01.2006 15:04"), to.Format("02.01.2006 15:04"))
	},
	counts: func(came int64, c store.HandbackCounts) string {
		return table([][2]string{
			{"Eingegangen", some(int(came), "eine E-Mail", "E-Mails")},
			{"Von Ihnen versendet und übergeben", number(c.Sent, "eine E-Mail", "E-Mails")},
			{"Entwürfe und andere E-Mails, übergeben", number(c.Put, "eine", "")},
			{"Gelesen, beantwortet oder gekennzeichnet", number(c.Flagged, "eine E-Mail", "E-Mails")},
			{"In einen Ordner gelegt", number(c.Moved, "eine E-Mail", "E-Mails")},
			{"In den Papierkorb gelegt", number(c.Binned, "eine E-Mail", "E-Mails")},
			{"Als Anhang geschickt", number(c.Brought, "eine E-Mail", "E-Mails")},
			{"Nur mitgeteilt", number(c.Listed, "eine Änderung", "Änderungen")},
		})
	},
}

var english = words{
	bringSubject: "What you wrote in the emergency mailbox",
	bringBegin: "Hello,\n\nYou worked in the emergency mailbox. We cannot open your mailbox ourselves, so what you\nwrote comes here as attachments. Your mails were sent at that time; you need not send\n" +
		"anything again.\n",
	bringMore:    "It is too much for one mail; the rest follows in others.\n",
	listed:       "\nThis is what else you did. Please do it again where it matters to you:\n\n",
	finalSubject: "Your mailbox is as the emergency mailbox was",
	openedEnd:    "\nNone of it waits any more to be handed over to your mailbox. You sent and changed nothing\nin the emergency mailbox.\n",
	notDone:      "\nThis was not possible:\n",
	end:          "\nA program has written this message. You need not answer.\n",
	keptSubject:  "From the emergency mailbox to yours: not everything was possible",
	kept: "\nYour mailbox has not taken this. It still lies in the emergency mailbox and is not lost.\n" +
		"Your IT department can give it to you; please ask them when you need it:\n",
	unknown:    "a mail that does not exist any more",
	unreadable: "a mail that cannot be read",
	why: map[string]string{
		whyGone:      "These mails are not in your mailbox any more, so we could not mark them:",
		whyAmbiguous: "These mails are in your mailbox several times. We have changed none of them:",
		whyEnded:     "These mails never reached your mailbox:",
		whyTooLarge:  "Too large for your mailbox:",
		whyUnfit:     "Holds characters that cannot be carried:",
		whyHeld:      "These mails came for you. Your mailbox refuses them, or they are still being checked:",
		whyFull:      "Your mailbox is full. As soon as there is room this comes by itself:",
		whyRefused:   "Your mailbox does not allow this at present. We go on trying:",
	},
	brought: func(n int) string { return fmt.Sprintf("\nAttached: %s.\n", some(n, "one mail", "mails")) },
	andMore: func(n int) string { return fmt.Sprintf("- and %d more\n", n) },
	mail: func(l mailLine, zone *time.Location) string {
		return line(l.Date.In(zone).Format("2 Jan 2006 15:04"), "from", l.From, l.Subject, "(no subject)")
	},
	deed: func(t *task) string {
		return acts(t, "deleted", "put into the folder “%s”", "read", "answered", "forwarded", "flagged", "marks changed")
	},
	finalBegin: func(from, to time.Time) string {
		return fmt.Sprintf("Hello,\n\nWhat you did in the emergency mailbox is in your mailbox now.\n\nFrom %s to %s:\n\n",
			from.Format("2 Jan 2006 15:04"), to.Format("2 Jan 2006 15:04"))
	},
	keptBegin: func(from, to time.Time) string {
		return fmt.Sprintf("Hello,\n\nwhat you did in the emergency mailbox is in your mailbox now, but for what stands below.\n\nFrom %s to %s:\n\n",
			from.Format("2 Jan 2006 15:04"), to.Format("2 Jan 2006 15:04"))
	},
	openedBegin: func(from, to time.Time) string {
		return fmt.Sprintf("Hello,\n\nYour mailbox works again. You do not need the emergency mailbox any more.\n\nFrom %s to %s:\n\n",
			from.Format("2 Jan 2006 15:04"), to.Format("2 Jan 2006 15:04"))
	},
	counts: func(came int64, c store.HandbackCounts) string {
		return table([][2]string{
			{"Came in", some(int(came), "one mail", "mails")},
			{"Sent by you, handed over", number(c.Sent, "one mail", "mails")},
			{"Drafts and other mails, handed over", number(c.Put, "one", "")},
			{"Read, answered or marked", number(c.Flagged, "one mail", "mails")},
			{"Put into a folder", number(c.Moved, "one mail", "mails")},
			{"Put into the bin", number(c.Binned, "one mail", "mails")},
			{"Sent as attachments", number(c.Brought, "one mail", "mails")},
			{"Only told", number(c.Listed, "one change", "changes")},
		})
	},
}

// some is a number with what it counts.
func some(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", n, many))
}

// number is some, or "" for none.
func number(n int, one, many string) string {
	if n == 0 {
		return ""
	}
	return some(n, one, many)
}

// table writes lines of which none is empty.
func table(rows [][2]string) string {
	var b strings.Builder
	for _, r := range rows {
		if r[1] != "" {
			fmt.Fprintf(&b, "  %s: %s\n", r[0], r[1])
		}
	}
	return b.String()
}

// line tells of one mail.
func line(date, from, who, subject, none string) string {
	if subject == "" {
		subject = none
	}
	if who == "" {
		return date + ", " + subject
	}
	return date + " " + from + " " + who + ", " + subject
}

// acts says what was done with a mail.
func acts(t *task, deleted, put, seen, answered, forwarded, flagged, other string) string {
	d := &t.deed
	if d.Is == nil {
		return deleted
	}
	var list []string
	if d.Was == nil || d.Was.Folder != d.Is.Folder {
		list = append(list, fmt.Sprintf(put, harmless(d.Is.Folder)))
	}
	add, remove := t.marks()
	for _, f := range []struct {
		flag uint32
		word string
	}{{doppelboden.Seen, seen}, {doppelboden.Answered, answered}, {doppelboden.Forwarded, forwarded}, {doppelboden.Flagged, flagged}} {
		if add&f.flag != 0 {
			list = append(list, f.word)
		}
	}
	if rest := doppelboden.Seen | doppelboden.Answered | doppelboden.Forwarded | doppelboden.Flagged; add&^rest|remove != 0 {
		list = append(list, other)
	}
	return strings.Join(list, ", ")
}

// harmless is a name that somebody gave, in one line.
func harmless(s string) string {
	return bounded(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?")), 120)
}
