package say

// handbacks holds what commands say about the way back of what people did.
var handbacks = map[string]string{
	"show what was done in a mailbox here and is not yet in the groupware; nothing of what the mails say": "zeigt, was hier in einem Postfach getan wurde und noch nicht in der Groupware ist; nichts vom Inhalt der Mails",
	"done at":                         "getan am",
	"what":                            "was",
	"size":                            "Größe",
	"message":                         "Nachricht",
	"goes with its mail, which waits": "geht mit ihrer Mail, die noch wartet",
	"Everything that was done in this mailbox is in the groupware.": "Alles, was in diesem Postfach getan wurde, ist in der Groupware.",
	"In the way: %s": "Im Weg steht: %s",
	"Changes since %s: %d went back, %d could not be done.": "Änderungen seit %s: %d übergeben, %d gingen nicht.",
	"The owner has got a mail about it.":                    "Die Inhaberin hat eine Mail darüber bekommen.",
	"mail sent":                                             "Mail gesendet",
	"draft written":                                         "Entwurf geschrieben",
	"put into a folder":                                     "in einen Ordner gelegt",
	"moved to a folder":                                     "in einen Ordner verschoben",
	"deleted (into the bin)":                                "gelöscht (in den Papierkorb)",
	"read, answered or marked":                              "gelesen, beantwortet oder markiert",
	"Done here and not yet in the groupware (%s): changes: %s, mailboxes: %s, the oldest of %s": "Hier getan und noch nicht in der Groupware (%s): Änderungen: %s, Postfächer: %s, die älteste von %s",
	"%d departments":                  "%d Ämter",
	"going back, about %s to go":      "geht zurück, noch etwa %s",
	"going back":                      "geht zurück",
	"waits until the groupware works": "wartet, bis die Groupware wieder geht",
	"Owners who will still get a mail about what went back: %d": "Inhaberinnen, die noch eine Mail über das Übergebene bekommen: %d",
}

// handbackReasons holds why something does not go back.
var handbackReasons = map[string]string{
	"this node hands nothing over": "dieser Knoten übergibt nichts",
	"the mail that lay there before is gone from the groupware; hand it over again first: doppelboden replay --from TIME --to TIME": "die Mails, die dort lagen, sind aus der Groupware verschwunden; zuerst müssen sie noch einmal übergeben werden: doppelboden replay --from ZEIT --to ZEIT",
	"mailboxes there are full": "Postfächer dort sind voll",
	"the groupware does not allow it (read-only mailboxes, or a right that the master user lacks)": "die Groupware erlaubt es nicht (Postfächer nur zum Lesen, oder dem Master-Benutzer fehlt ein Recht)",
	"the groupware takes no mail of that size":                                                     "die Groupware nimmt keine Mail dieser Größe",
	"mails hold characters that cannot be carried (a NUL, or a bare CR)":                           "Mails enthalten Zeichen, die sich nicht übertragen lassen (NUL oder ein einzelnes CR)",
	"the groupware has no such mailbox, or lets nobody into it":                                    "die Groupware hat dieses Postfach nicht oder lässt niemanden hinein",
}
