package say

// harvests holds what commands say about filled mailboxes.
var harvests = map[string]string{
	"show what mailboxes hold here, and up to when that is complete":                "zeigt, was Postfächer hier enthalten und bis wann das vollständig ist",
	"read a mailbox of the groupware now, before all others":                        "liest ein Postfach der Groupware jetzt, vor allen anderen",
	"what vanished from it in the groupware may be hidden here, however much it is": "was daraus in der Groupware verschwunden ist, darf hier ausgeblendet werden, egal wie viel es ist",
	"inbox":                         "Posteingang",
	"sent":                          "Gesendet",
	"internal mail":                 "interne Mail",
	"flags and folders":             "Markierungen und Ordner",
	"complete":                      "vollständig",
	"up to %s":                      "bis %s",
	"missing: no way is configured": "fehlt: kein Weg ist eingerichtet",
	"no mail has come yet":          "noch keine Mail gekommen",
	"without mail to colleagues":    "ohne Mail an Kollegen",
	"is being filled":               "wird gefüllt",
	"not read lately":               "länger nicht gelesen",
	"cannot be read":                "nicht lesbar",
	"nothing reported lately":       "länger nichts gemeldet",
	"reading is stopped":            "Lesen ist angehalten",
	"%d of %d mailboxes are complete up to a few minutes ago.": "%d von %d Postfächern sind bis vor wenigen Minuten vollständig.",
	"%s: %d of %d mailboxes in this round":                     "%s: %d von %d Postfächern in dieser Runde",
	"%d are being filled":                                      "%d werden gefüllt",
	"the last round ended at %s and took %s":                   "die letzte Runde endete um %s und dauerte %s",
	"left alone now: %s":                                       "wird gerade in Ruhe gelassen: %s",
	"attack mode":                                              "Angriffsfall",
	"an outage":                                                "ein Ausfall",
	"it takes mail that waited":                                "sie nimmt Mail an, die gewartet hat",
	"%s is read as soon as a connection is free. See how far it is: doppelboden mailbox coverage %s": "%s wird gelesen, sobald eine Verbindung frei ist. Wie weit es ist, zeigt: doppelboden mailbox coverage %s",
}

// harvestRefusals holds the public texts of what harvest refuses.
var harvestRefusals = map[string]string{
	"mailboxes of this route are not read: write sync = true in [tenant.route.imap]":          "Postfächer dieser Route werden nicht gelesen: sync = true in [tenant.route.imap] schreiben",
	"this address takes journal reports from its own sender only":                             "diese Adresse nimmt Journalberichte nur von ihrem eigenen Sender",
	"journal reports are not taken at the moment":                                             "Journalberichte werden gerade nicht angenommen",
	"nobody is there to look at this report":                                                  "niemand ist da, der diesen Bericht ansehen könnte",
	"there is no such mailbox":                                                                "es gibt kein solches Postfach",
	"a journal report goes to one address alone, please send the rest in another transaction": "ein Journalbericht geht an eine Adresse allein, bitte den Rest getrennt senden",
}

// harvestMistakes holds what is said of mistakes in city.toml.
var harvestMistakes = map[string]string{
	"without sync = true no mailbox is read":                                             "ohne sync = true wird kein Postfach gelesen",
	"write sync = true, or leave sync_days out":                                          "sync = true schreiben, oder sync_days weglassen",
	"write address = \"journal@journal.musterstadt.de\": an address that no mailbox has": "address = \"journal@journal.musterstadt.de\" schreiben: eine Adresse, die kein Postfach hat",
	"it is the postmaster's":                                                             "es ist die des Postmasters",
	"write senders = [\"groupware\"]: names of [[tenant.sender]]":                        "senders = [\"groupware\"] schreiben: Namen von [[tenant.sender]]",
	"no [[tenant.sender]] of this tenant has this name":                                  "kein [[tenant.sender]] dieses Mandanten heißt so",
}
