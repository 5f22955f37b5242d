package web

// german are the German texts of the layout and of mistakes.
var german = Words{
	"Emergency mail":     "Notfall-Postfach",
	"Skip to content":    "Zum Inhalt springen",
	"Log out":            "Abmelden",
	"To your mailbox":    "Zu Ihrem Postfach",
	"To the log-in":      "Zur Anmeldung",
	"Try again":          "Noch einmal versuchen",
	"State of your mail": "Zustand Ihrer Post",

	"This page does not exist (any more)":                                      "Diese Seite gibt es nicht (mehr)",
	"Perhaps it was moved or deleted. Go back to your mailbox and look there.": "Vielleicht wurde sie verschoben oder gelöscht. Gehen Sie zurück in Ihr Postfach und sehen Sie dort nach.",
	"That is not allowed":                                                      "Das ist nicht erlaubt",
	"If you think that it should be, call your help desk.":                     "Wenn es erlaubt sein sollte, rufen Sie Ihre Benutzerbetreuung an.",
	"This form is too old":                                                     "Dieses Formular ist zu alt",
	"Nothing was changed. Go back, load the page again and repeat it.":         "Es wurde nichts geändert. Gehen Sie zurück, laden Sie die Seite neu und wiederholen Sie den Schritt.",
	"That is too large":                                                        "Das ist zu groß",
	"Send large files in several mails, or make them smaller.":                 "Senden Sie große Dateien in mehreren Nachrichten, oder verkleinern Sie sie.",
	"Something in the form is not right":                                       "Etwas in dem Formular stimmt nicht",
	"Nothing was changed. Go back and correct it.":                             "Es wurde nichts geändert. Gehen Sie zurück und berichtigen Sie es.",
	"Just now there is too much to do":                                         "Im Moment ist zu viel los",
	"Wait a minute and try again. Nothing is lost.":                            "Warten Sie eine Minute und versuchen Sie es noch einmal. Es geht nichts verloren.",
	"That did not work just now":                                               "Das hat gerade nicht geklappt",
	"Try again in a minute. Mail goes on being received and kept meanwhile.":   "Versuchen Sie es in einer Minute noch einmal. Post wird währenddessen weiter angenommen und aufbewahrt.",
}
