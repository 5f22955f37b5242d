package imapd

import (
	"doppelboden"

	"github.com/emersion/go-imap/v2"
)

// What people read in their mail program, in German and English: RFC 9051, section 7.1,
// allows US-ASCII alone before somebody asks for more.
const (
	sayWrong   = "Adresse oder Passwort ist falsch. / The address or the password is not right."
	sayClosed  = "Die Notfallpostfaecher sind gerade geschlossen, bitte das gewohnte Postfach benutzen. / The emergency mailboxes are closed now, please use your usual mailbox."
	sayNeeds   = "Bitte zuerst auf der Notfallseite im Browser anmelden und dort ein Passwort fuer dieses Programm anlegen. / Please log in on the emergency page in a browser first and make a password for this program there."
	sayBusy    = "Gerade sind zu viele Anmeldungen unterwegs, bitte in einigen Minuten noch einmal. / Too many log-ins at the moment, please try again in some minutes."
	sayMany    = "Zu viele Verbindungen. / Too many connections."
	sayEnds    = "Dieser Server wird gerade neu gestartet. / This server is restarting."
	sayRights  = "Dieses Postfach steht Ihnen nicht mehr offen. / This mailbox is not open to you any more."
	sayTrouble = "Gerade geht das nicht, bitte noch einmal versuchen. / This does not work at the moment, please try again."
	sayHeld    = "Mindestens eine dieser Mails ist noch nicht auf Schadsoftware geprueft oder wird zurueckgehalten. / At least one of these mails has not been checked for malware yet, or is kept back."
	sayGone    = "Some of these mails are not there any more."
	sayRead    = "This folder was opened for reading only."
	sayNone    = "There is no such folder."
	sayFixed   = "This folder is needed and cannot be changed."
)

// no is the refusal of a command.
func no(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

// refused says an error of the rooms to a client: their public text, never the cause.
func refused(err error) error {
	if err == nil {
		return nil
	}
	switch doppelboden.CodeOf(err) {
	case doppelboden.NotFound:
		return no(imap.ResponseCodeNonExistent, sayNone)
	case doppelboden.Invalid, doppelboden.BadMessage, doppelboden.Policy:
		return no(imap.ResponseCodeCannot, doppelboden.PublicOf(err))
	case doppelboden.TooLarge:
		return no(imap.ResponseCodeTooBig, doppelboden.PublicOf(err))
	case doppelboden.StorageFull:
		return no(imap.ResponseCodeOverQuota, doppelboden.PublicOf(err))
	}
	return no(imap.ResponseCodeUnavailable, sayTrouble)
}
