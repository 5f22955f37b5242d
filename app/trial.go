package app

import (
	"context"
	"fmt"
	"time"

	"doppelboden/account"
	"doppelboden/event"
)

// try writes the letter that shows whether a groupware takes mail again; see event.Trial.
func (n *Node) try(ctx context.Context, one event.Trial) error {
	box, ok := n.house.Directory().Mailbox(one.Mailbox)
	if !ok {
		return fmt.Errorf("mailbox %d is not in the directory any more", one.Mailbox)
	}
	note := account.Notice{Tenant: one.Tenant, To: box.Address}
	since := one.Since.In(n.clock().Location())
	note.Subject, note.Text = trialGerman(since)
	if n.languageOf(one.Mailbox) == "en" {
		note.Subject, note.Text = trialEnglish(since)
	}
	return n.tellPerson(ctx, note)
}

func trialGerman(since time.Time) (subject, text string) {
	return "Der E-Mail-Server nimmt wieder Post an",
		fmt.Sprintf("Guten Tag,\n\nseit %s Uhr nahm der E-Mail-Server keine Post mehr an. Jetzt antwortet er wieder.\n"+
			"Ob er auch Post annimmt, zeigt erst ein Brief. Darum haben wir Ihnen diesen geschickt:\n\n"+
			"Lesen Sie ihn in Ihrem gewohnten Postfach, dann geht es wieder. Was im\nNotfall-Postfach getan wurde, kommt nun von selbst dorthin.\n"+
			"Lesen Sie ihn im Notfall-Postfach, dann arbeiten Sie dort einfach weiter.\n\nSie müssen nichts tun.\n"+
			"\nDiese Nachricht hat ein Programm geschrieben. Sie brauchen nicht zu antworten.\n", since.Format("02.01.2006 15:04"))
}

func trialEnglish(since time.Time) (subject, text string) {
	return "The mail server takes mail again",
		fmt.Sprintf("Hello,\n\nthe mail server took no mail since %s. Now it answers again.\n"+
			"Only a letter shows whether it takes mail, too. That is why we have sent you this one:\n\n"+
			"If you read it in your usual mailbox, it works again. What was done in the emergency\nmailbox comes there by itself now.\n"+
			"If you read it in the emergency mailbox, just go on working there.\n\nYou need not do anything.\n"+
			"\nA program has written this message. You need not answer.\n", since.Format("2 Jan 2006 15:04"))
}
