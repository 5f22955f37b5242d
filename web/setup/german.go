package setup

import "doppelboden/web"

// german are the German texts of the pages.
var german = web.Words{
	"Set up your telephone or mail program": "Handy oder Mail-Programm einrichten",
	"Your mail program can show the emergency mailbox too. It needs a password of its own, which you can take away again.": "Auch Ihr Mail-Programm kann das Notfallpostfach zeigen. Es braucht ein eigenes Passwort, das Sie wieder entziehen können.",
	"Mail programs are not let in on this server. Please use this page in the browser.":                                    "Mail-Programme werden auf diesem Server nicht eingelassen. Bitte nutzen Sie diese Seite im Browser.",
	"What is this device called?":    "Wie heißt dieses Gerät?",
	"My telephone":                   "Mein Handy",
	"Make a password":                "Passwort erzeugen",
	"Your password for this program": "Ihr Passwort für dieses Programm",
	"It is shown this once.":         "Es wird nur dieses eine Mal gezeigt.",
	"iPhone, iPad, Mac":              "iPhone, iPad, Mac",
	"On this device: open the profile. From another screen: point the camera at this picture. It works for ten minutes.": "Auf diesem Gerät: das Profil öffnen. Von einem anderen Bildschirm: die Kamera auf dieses Bild richten. Das geht zehn Minuten lang.",
	"Then open Settings and choose “Profile downloaded”.":                                                                "Danach die Einstellungen öffnen und „Profil geladen“ wählen.",
	"Open the profile": "Profil öffnen",
	"QR code with the profile for your telephone":                                                                               "QR-Code mit dem Profil für Ihr Handy",
	"Your telephone says “not signed”. That is right here: this server has no certificate that it knows.":                       "Ihr Handy meldet „nicht signiert“. Das ist hier richtig: Dieser Server hat kein Zertifikat, das es kennt.",
	"Thunderbird, Outlook, Android":                                                                                             "Thunderbird, Outlook, Android",
	"Add an account with your address and the password above. The program finds the rest by itself. If it does not, type this:": "Ein Konto mit Ihrer Adresse und dem Passwort von oben hinzufügen. Den Rest findet das Programm selbst. Falls nicht, tippen Sie das ein:",
	"User name":              "Benutzername",
	"Incoming mail (IMAP)":   "Posteingang (IMAP)",
	"Outgoing mail (SMTP)":   "Postausgang (SMTP)",
	"port %d, SSL/TLS":       "Port %d, SSL/TLS",
	"port %d, STARTTLS":      "Port %d, STARTTLS",
	"Programs and passwords": "Programme und Passwörter",
	"To the mailbox":         "Zum Postfach",
}
