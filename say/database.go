package say

// database holds what is said about a node's working database.
var database = map[string]string{
	"Database: %s":                                                      "Datenbank: %s",
	"Database: %s; on their way into it: %d":                            "Datenbank: %s; auf dem Weg in sie: %d",
	"THE DATABASE DOES NOT ANSWER since %s: %s":                         "DIE DATENBANK ANTWORTET NICHT seit %s: %s",
	"THE DATABASE DOES NOT DO ITS WORK since %s: %s":                    "DIE DATENBANK ARBEITET NICHT seit %s: %s",
	"Mail is taken and kept on this machine: %d wait for the database.": "Mail wird angenommen und auf dieser Maschine aufbewahrt: %d warten auf die Datenbank.",
	"Nothing is handed over and nothing can be changed or looked up until it returns; then the node goes on by itself.": "Bis sie zurückkehrt, wird nichts übergeben und kann nichts geändert oder nachgesehen werden; dann macht der Knoten von selbst weiter.",
	"Who exists is known from this machine's mirror, as of %s.":                                                         "Wen es gibt, ist aus dem Abbild auf dieser Maschine bekannt, Stand %s.",
	"It may lack mailboxes, so unknown recipients are put off (450).":                                                   "Ihm können Postfächer fehlen; darum werden unbekannte Empfänger vertröstet (450).",
	"Mails that it refuses for their own sake: %d. They are kept and tried again every hour.":                           "Mails, die sie um ihrer selbst willen abweist: %d. Sie werden aufbewahrt und jede Stunde wieder versucht.",
	"Mailboxes: %d; configuration: version %s":                                                                          "Postfächer: %d; Konfiguration: Version %s",
}

// databaseRefusals holds why something was not done that needs the database.
var databaseRefusals = map[string]string{
	"the database does not answer": "die Datenbank antwortet nicht",
}

// databaseMistakes holds mistakes in [database] of node.toml.
var databaseMistakes = map[string]string{
	"not the address of a PostgreSQL database":                        "keine Adresse einer PostgreSQL-Datenbank",
	"a password does not belong here":                                 "ein Passwort gehört nicht hierher",
	"it does not say who logs in":                                     "sie sagt nicht, wer sich anmeldet",
	"it does not name a database":                                     "sie nennt keine Datenbank",
	"it does not say on which machine":                                "sie sagt nicht, auf welcher Maschine",
	"the parameter %s is not known here":                              "den Parameter %s gibt es hier nicht",
	"the sslmode is not one that says what happens":                   "der sslmode ist keiner, der sagt, was geschieht",
	"the way to another machine must be protected, or not on purpose": "der Weg zu einer anderen Maschine muss geschützt sein oder absichtlich nicht",

	`write url = "postgres://doppelboden@db.musterstadt.de/doppelboden?sslmode=verify-full"`:                            `url = "postgres://doppelboden@db.musterstadt.de/doppelboden?sslmode=verify-full" schreiben`,
	`write password_file = "database.password" (a file in the folder of the keys), or password_credential = "database"`: `password_file = "database.password" schreiben (eine Datei im Ordner der Schlüssel) oder password_credential = "database"`,
	`write ?sslmode=verify-full behind it, or require or disable where nobody else is on the line`:                      `?sslmode=verify-full dahinter schreiben, oder require oder disable, wo sonst niemand an der Leitung ist`,
}
