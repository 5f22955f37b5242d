package public

import "doppelboden/web"

// german are the German texts of the pages.
var german = web.Words{
	"Did my mail arrive?": "Ist meine E-Mail angekommen?",
	"When you write to us, your mail program or your mail server gets a number with our confirmation, such as %s. Enter it here.": "Wenn Sie uns schreiben, erhält Ihr Mailprogramm oder Ihr Mailserver mit unserer Bestätigung eine Nummer, etwa %s. Geben Sie diese hier ein.",
	"Receipt number": "Eingangsnummer",
	"Look up":        "Nachsehen",
	"This is no receipt number. It has 20 letters and digits, in five groups of four.": "Das ist keine Eingangsnummer. Sie hat 20 Buchstaben und Ziffern, in fünf Gruppen zu vier.",
	"Your mail has arrived.":                                                         "Ihre E-Mail ist angekommen.",
	"It is in the mailbox that you wrote to.":                                        "Sie liegt in dem Postfach, an das Sie geschrieben haben.",
	"We have your mail, and it is safe.":                                             "Wir haben Ihre E-Mail, und sie ist sicher aufbewahrt.",
	"It has not reached the usual mailbox yet. Please do not send it again.":         "Das gewohnte Postfach hat sie noch nicht erreicht. Bitte senden Sie sie nicht noch einmal.",
	"Your mail could not be delivered.":                                              "Ihre E-Mail konnte nicht zugestellt werden.",
	"Please call the office that you wrote to, or send it again to another address.": "Bitte rufen Sie die Stelle an, der Sie geschrieben haben, oder senden Sie sie an eine andere Adresse.",
	"We know no mail with this number.":                                              "Wir kennen keine E-Mail mit dieser Nummer.",
	"Check the number. Numbers are forgotten some weeks after a mail has arrived.":   "Prüfen Sie die Nummer. Nummern werden einige Wochen nach der Ankunft einer E-Mail vergessen.",
}
