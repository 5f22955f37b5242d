package say

// database holds what is said about a node's working database.
var database = map[string]string{}

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
