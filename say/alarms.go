package say

import (
	"cmp"
	"strings"
	"time"

	"doppelboden"
)

// Alarm returns what an alarm says, in the printer's language and without anything that a
// terminal would act upon.
func (p *Printer) Alarm(a doppelboden.Alarm) string {
	if len(a.Said) == 0 {
		return Plain(a.Text) // a program that knew no other languages wrote it
	}
	return p.Telling(a.Said)
}

// Telling returns a telling in the printer's language, without anything that a terminal
// would act upon.
func (p *Printer) Telling(t doppelboden.Telling) string {
	return Plain(t.In(func(key string) string {
		if p.German() {
			return cmp.Or(tellings[key], key)
		}
		return key
	}, p.value))
}

// value writes a value of a telling. Words that this package knows are translated.
func (p *Printer) value(v doppelboden.Value) string {
	switch {
	case v.Number != nil:
		return p.Number(*v.Number)
	case !v.Time.IsZero():
		return p.Clock(v.Time)
	case v.Length != 0:
		return p.length(time.Duration(v.Length) * time.Second)
	}
	return p.Known(strings.TrimSuffix(v.Words, ".")) // the sentence has its own end
}

// Clock writes a time for people, in their time zone.
func (p *Printer) Clock(t time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case p.German():
		return t.Local().Format("02.01.2006 15:04:05")
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// length writes how long something lasts, to the second.
func (p *Printer) length(d time.Duration) string {
	text := d.String()
	if d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d%time.Hour == 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	for _, unit := range []string{"h", "m", "s"} {
		text = strings.ReplaceAll(text, unit, " "+strings.ReplaceAll(unit, "m", "min")+" ")
	}
	return strings.TrimSpace(text)
}

// alarmReasons holds public texts of errors that alarms give as a reason.
var alarmReasons = map[string]string{
	"insufficient system storage":       "es ist kein Platz mehr",
	"storage problem, please try again": "die Platte arbeitet nicht, wie sie soll",
	"shutting down, please try again":   "der Knoten hält gerade an",
}

// tellings holds the German text of every key of doppelboden.Tell. It says what is wrong,
// what becomes of mail meanwhile, and what to do. Its values may stand in another order:
// %[2]s is the second.
var tellings = map[string]string{
	// The machine.
	"NO MAIL IS TAKEN: %s. Senders try again for some days. Make room on the disk of %s, or repair it.":                                                                                                           "ES WIRD KEINE MAIL ANGENOMMEN: %s. Absender versuchen es noch einige Tage. Auf der Platte von %s Platz schaffen oder sie reparieren.",
	"The disk of %s is nearly full: %s MiB are free. Mail is taken; below %s MiB no mail is taken any more. Make room now.":                                                                                       "Die Platte von %s ist fast voll: noch %s MiB frei. Mail wird angenommen; unter %s MiB wird keine mehr angenommen. Jetzt Platz schaffen.",
	"The clock jumped by %s at %s. Mail is taken and handed over, but times in mails and in the ledger before and after do not fit. Check the time service: timedatectl":                                          "Die Uhr ist um %s gesprungen, am %s. Mail wird angenommen und übergeben, aber Zeiten in Mails und im Hauptbuch davor und danach passen nicht zusammen. Den Zeitdienst prüfen: timedatectl",
	"The key %s is gone. The node still has it in memory and works; after a restart nothing could be read. Do NOT restart the node. Bring the file back from the backup before anything else.":                    "Der Schlüssel %s ist weg. Der Knoten hat ihn noch im Speicher und arbeitet; nach einem Neustart wäre nichts mehr lesbar. Den Knoten NICHT neu starten. Zuerst die Datei aus der Sicherung zurückholen.",
	"The key %s cannot be looked at: %s. The node still has it in memory and works; look at the disk before you restart it.":                                                                                      "Der Schlüssel %s lässt sich nicht ansehen: %s. Der Knoten hat ihn noch im Speicher und arbeitet; vor einem Neustart die Platte prüfen.",
	"The key %s can be read by others (mode %s). Mail goes on. Run: chmod 600 %s":                                                                                                                                 "Den Schlüssel %s können andere lesen (Rechte %s). Mail läuft weiter. Befehl: chmod 600 %s",
	"Bytes %s to %s of segment %s are not what was written: %s. Mail that lies there cannot be handed over; all other mail can. Look at the disk. Is the newest backup whole? doppelboden backup --verify FOLDER": "Die Bytes %s bis %s von Segment %s sind nicht das, was geschrieben wurde: %s. Mail, die dort liegt, lässt sich nicht übergeben, alle andere schon. Die Platte prüfen. Ist die neueste Sicherung heil? doppelboden backup --verify ORDNER",
	"The ledger cannot be tied: %s. Mail is taken and handed over all the same. Run: doppelboden ledger verify":                                                                                                   "Das Hauptbuch lässt sich nicht abschließen: %s. Mail wird trotzdem angenommen und übergeben. Befehl: doppelboden ledger verify",
	"The database is older than what had left it, or somebody has rewritten it. Mail goes on. See what is missing: doppelboden ledger verify. That ends this alarm.":                                              "Die Datenbank ist älter als das, was sie schon verlassen hat, oder jemand hat sie umgeschrieben. Mail läuft weiter. Ansehen, was fehlt: doppelboden ledger verify. Damit endet dieser Alarm.",

	// Databases and name servers.
	"The database does not answer: %s. Mail is taken and kept on this machine. Nothing is handed over and nothing can be changed until it returns; then the node goes on by itself. Look at the database; do not stop the node.":  "Die Datenbank antwortet nicht: %s. Mail wird angenommen und auf dieser Maschine aufbewahrt. Bis die Datenbank zurück ist, wird nichts übergeben und lässt sich nichts ändern; danach macht der Knoten von selbst weiter. Nach der Datenbank sehen; den Knoten nicht anhalten.",
	"The database answers, but does not do its work: %s. Mail is taken and kept on this machine until it does; then the node goes on by itself. Look at the database and its disk; do not stop the node.":                         "Die Datenbank antwortet, arbeitet aber nicht: %s. Mail wird angenommen und so lange auf dieser Maschine aufbewahrt; danach macht der Knoten von selbst weiter. Nach der Datenbank und ihrer Platte sehen; den Knoten nicht anhalten.",
	"The database refuses some mails for their own sake: %s. They are kept on this machine and tried again every hour; all others go on. The log of the node says why (\"kept aside\").":                                          "Die Datenbank nimmt einzelne Mails nicht an, Anzahl: %s. Sie bleiben auf dieser Maschine und werden jede Stunde neu versucht; alle anderen laufen weiter. Warum, steht im Protokoll des Knotens (\"kept aside\").",
	"The mirror of the database on this machine cannot be written: %s. Mail goes on. If the database dies and this node starts anew, its doors know only what was true before. Look at the disk.":                                 "Die Abschrift der Datenbank auf dieser Maschine lässt sich nicht schreiben: %s. Mail läuft weiter. Fällt die Datenbank aus und startet dieser Knoten neu, wissen seine Türen nur den alten Stand. Nach der Platte sehen.",
	"No name server answers (%s). Mail is taken, but nobody knows whether its senders are true, and nothing leaves for the Internet by MX; it waits. Repair them, or name others in [dns] of node.toml and start the node again.": "Kein Nameserver antwortet (%s). Mail wird angenommen, aber ob Absender echt sind, ist nicht prüfbar, und nichts geht per MX ins Internet hinaus; es wartet. Die Nameserver reparieren, oder andere unter [dns] in node.toml eintragen und den Knoten neu starten.",

	// The way to the groupware and to the Internet.
	"The next server of %s has not taken mail since %s. Mail for it is kept, waits, and is handed over by itself. Look at that server; see what it says: doppelboden status":                                                                                                  "Der nächste Server von %s nimmt keine Mail mehr an, seit %s. Mail dafür wird aufbewahrt, wartet und wird von selbst übergeben. Nach dem Server sehen; was er sagt: doppelboden status",
	"The smart host has not taken mail since %s. Mail to the Internet is kept and waits; mail from outside goes on. Look at the smart host; see what it says: doppelboden status":                                                                                             "Der Smarthost nimmt keine Mail mehr an, seit %s. Mail ins Internet wird aufbewahrt und wartet; Mail von außen läuft weiter. Nach dem Smarthost sehen; was er sagt: doppelboden status",
	"Nobody on the Internet answers. Mail to the Internet is kept and waits. Look whether our own line is down, the DNS, or outgoing connections to port 25.":                                                                                                                 "Niemand im Internet antwortet. Mail dorthin wird aufbewahrt und wartet. Prüfen: die eigene Leitung, das DNS, ausgehende Verbindungen zu Port 25.",
	"These domains refuse mail because of our address or our domain: %s. Mail for them is kept and waits; it is not returned before its time is over. Look at their words (doppelboden status), at block lists, at the name of our address in the DNS, and at SPF and DMARC.": "Diese Domains lehnen Mail wegen unserer Adresse oder unserer Domain ab: %s. Mail dafür wird aufbewahrt und wartet; zurückgesandt wird sie nicht, bevor ihre Frist um ist. Ansehen: ihre Worte (doppelboden status), Sperrlisten, den Namen unserer Adresse im DNS, SPF und DMARC.",
	"The smart host's password cannot be read: %s. Mail to the Internet is kept and waits. Put it there; the node reads it again every ten seconds.":                                                                                                                          "Das Passwort des Smarthosts ist nicht lesbar: %s. Mail ins Internet wird aufbewahrt und wartet. Das Passwort dort ablegen; der Knoten liest es alle zehn Sekunden neu.",
	"Mail that waits for longer than %s cannot be put into the mailboxes of %s since %s: %s. It waits; newer mail is handed over. Look at [tenant.route.imap] in city.toml and at the master user of the groupware.":                                                          "Mail, die länger als %s wartet, kommt nicht in die Postfächer von %s, seit %s: %s. Sie wartet; neuere Mail wird übergeben. [tenant.route.imap] in city.toml prüfen und den Master-Benutzer der Groupware.",
	"The mailboxes of route %s cannot be looked into since %s, so nobody knows whether the groupware has what it took: %s. Mail goes on. Look at [tenant.route.imap] in city.toml and at the master user of the groupware.":                                                   "In die Postfächer des Weges %s lässt sich nicht sehen, seit %s; ob die Groupware hat, was sie annahm, weiß also niemand: %s. Mail läuft weiter. [tenant.route.imap] in city.toml prüfen und den Master-Benutzer der Groupware.",
	"The groupware of route %s has lost mail that it said it took: looked for %s mails, missing: %s (taken from %s to %s; looks into mailboxes: %s). They are all still here.":                                                                                                "Der Groupware des Weges %s fehlt Mail, die sie angenommen hat: gesucht %s, es fehlen %s (angenommen von %s bis %s; Blicke in Postfächer: %s). Hier ist alles noch da.",
	"Mailboxes that were older than before: %s; a backup was restored.":                                                                            "Postfächer, die älter waren als zuvor: %s; eine Sicherung wurde eingespielt.",
	"When it is in order again: doppelboden replay --from %s --to %s --tenant %s --route %s --preview, where --from is not later than the backup.": "Wenn sie wieder in Ordnung ist: doppelboden replay --from %s --to %s --tenant %s --route %s --preview; --from darf nicht nach der Sicherung liegen.",

	// Outages.
	"Maintenance %s of %s was to end at %s and has not. Mailboxes that are not served: %s.": "Die Wartung %s von %s sollte enden um %s und ist nicht zu Ende. Nicht bediente Postfächer: %s.",
	"Outage %s of %s since %s: the groupware does not take mail for %s.":                    "Ausfall %s von %s seit %s: Die Groupware nimmt keine Mail an für %s.",
	"It says most often: %s": "Sie sagt am häufigsten: %s",
	"Mails for them that wait: %s, that are held: %s. Nothing is lost, and what waits is handed over by itself.": "Mails dafür, die warten: %s, angehalten: %s. Nichts ist verloren; was wartet, wird von selbst übergeben.",
	"Mail is taken again since %s.":                                     "Seit %s wird wieder Mail angenommen.",
	"It answers again, but no mail has proved yet that it works.":       "Sie antwortet wieder, aber noch keine Mail hat bewiesen, dass sie arbeitet.",
	"Look at the groupware; see: doppelboden event show %s --tenant %s": "Nach der Groupware sehen; mehr: doppelboden event show %s --tenant %s",
	"%s mailboxes":           "%s Postfächer",
	"all %s mailboxes of %s": "alle %s Postfächer (%s)",
	"%s of %s mailboxes of %s, perhaps more: of %s nothing is known": "%s von %s Postfächern (%s), vielleicht mehr: von %s ist nichts bekannt",
	"%s of %s mailboxes of %s":                                       "%s von %s Postfächern (%s)",
	"the host %s":                                                    "Server %s",
	"the department %s":                                              "Abteilung %s",
	"the building %s":                                                "Gebäude %s",
	"the route %s":                                                   "Weg %s",
	"Attack mode of %s lasts since %s, and all ways are open again. End it: doppelboden event close %s --tenant %s":                                                        "Der Angriffsfall von %s dauert seit %s, und alle Wege sind wieder offen. Beenden: doppelboden event close %s --tenant %s",
	"Attack mode of %s since %s. Mail is taken and the emergency mailboxes work. Shut: %s. It ends by hand only, way by way: doppelboden event release %s WAY --tenant %s": "Angriffsfall von %s seit %s. Mail wird angenommen, und die Notfall-Postfächer arbeiten. Geschlossen: %s. Er endet nur von Hand, Weg für Weg: doppelboden event release %s WEG --tenant %s",

	// Emergency mailboxes.
	"What people did in emergency mailboxes of %s does not go back to the groupware since %s (mailboxes: %s, changes: %s): %s. Nothing is lost; it is tried again. What it is: doppelboden mailbox deeds ADDRESS":                                                                                                                                                                                                                                                                        "Was Leute in Notfall-Postfächern von %s taten, geht nicht in die Groupware zurück, seit %s (Postfächer: %s, Änderungen: %s): %s. Nichts ist verloren; es wird weiter versucht. Was es ist: doppelboden mailbox deeds ADRESSE",
	"Mailboxes of %s cannot be read, so that mail between colleagues may be missing in emergency mailboxes: %s. Mail from outside is complete. Look at [tenant.route.imap] in city.toml and at the master user of the groupware; see: doppelboden mailbox coverage":                                                                                                                                                                                                                      "Postfächer von %s lassen sich nicht lesen; in Notfall-Postfächern kann Mail zwischen Kollegen fehlen: %s. Mail von außen ist vollständig. [tenant.route.imap] in city.toml prüfen und den Master-Benutzer der Groupware; mehr: doppelboden mailbox coverage",
	"Much vanished at once from mailboxes of the groupware (mails: %s, mailboxes: %s). Here all of it is still to be seen. Somebody may be deleting or encrypting mailboxes: look at the groupware. If it is meant to be so: doppelboden mailbox sync ADDRESS --confirm":                                                                                                                                                                                                                 "Aus Postfächern der Groupware ist viel auf einmal verschwunden (Mails: %s, Postfächer: %s). Hier ist alles noch zu sehen. Vielleicht löscht oder verschlüsselt jemand Postfächer: nach der Groupware sehen. Wenn es so sein soll: doppelboden mailbox sync ADRESSE --confirm",
	"The groupware lacks mail that it had: it was restored from a backup, or mailboxes were set up anew (mails: %s, mailboxes: %s, such as %s). Here all of it stays to be seen until retention removes it. What came from outside is handed over again with: doppelboden replay. Mail between colleagues and sent mail is here alone: its owners find it in their emergency mailboxes and can forward it to themselves. If nobody needs it: doppelboden mailbox sync ADDRESS --confirm": "Der Groupware fehlt Mail, die sie schon hatte: Eine Sicherung wurde eingespielt, oder Postfächer wurden neu angelegt (Mails: %s, Postfächer: %s, etwa %s). Hier bleibt alles zu sehen, bis die Aufbewahrungsfrist endet. Was von außen kam, übergibt noch einmal: doppelboden replay. Mail zwischen Kollegen und gesendete Mail liegt nur noch hier: Die Leute finden sie in ihren Notfall-Postfächern und können sie an sich selbst weiterleiten. Braucht sie niemand mehr: doppelboden mailbox sync ADRESSE --confirm",
	"A journal report was not understood: %s. It lies in the folder %s of the postmaster. Mail between colleagues may be missing in emergency mailboxes; all other mail goes on. Look at the journal rule of the groupware.":                                                                                                                                                                                                                                                             "Ein Journalbericht war nicht zu verstehen: %s. Er liegt im Ordner %s des Postmasters. In Notfall-Postfächern kann Mail zwischen Kollegen fehlen; alle andere läuft weiter. Die Journalregel der Groupware prüfen.",
	"A journal report could not be kept, because no mailbox stands behind the postmaster: %s. Its sender tries it again; all other mail goes on. Add the mailbox: doppelboden mailbox add postmaster@DOMAIN":                                                                                                                                                                                                                                                                             "Ein Journalbericht war nicht aufzubewahren, weil hinter dem Postmaster kein Postfach steht: %s. Sein Absender versucht es wieder; alle andere Mail läuft weiter. Das Postfach anlegen: doppelboden mailbox add postmaster@DOMAIN",
	"%s wanted to write from %s to more than %s recipients within an hour and was stopped. All other mail goes on. Ask that person. If nobody knows why, the password may be stolen: doppelboden account revoke --person %s --everything. The limit is recipients_per_hour in [tenant.mailboxes].":                                                                                                                                                                                       "%s wollte von %s aus binnen einer Stunde an mehr als %s Empfänger schreiben und wurde angehalten. Alle andere Mail läuft weiter. Die Person fragen. Weiß niemand, warum, ist vielleicht das Passwort gestohlen: doppelboden account revoke --person %s --everything. Die Grenze ist recipients_per_hour in [tenant.mailboxes].",
	"%s of %s people of the crisis team could not be told by SMS, %s for one: %s. Call them by telephone. Mail is not concerned. Look at [tenant.sms] in city.toml and at the gateway.":                                                                                                                                                                                                                                                                                                  "%s von %s Leuten des Krisenstabs waren per SMS nicht zu erreichen, etwa %s: %s. Sie anrufen. Mail ist nicht betroffen. [tenant.sms] in city.toml und den SMS-Dienst prüfen.",

	// Who exists, and who sends.
	"A list of mailboxes of %s was imported in part only. Mail for people who are known is taken; unknown recipients are put off (450) until it is imported again: doppelboden mailbox import FILE.csv":                                                                   "Eine Liste mit Postfächern von %s wurde nur zum Teil übernommen. Mail für bekannte Leute wird angenommen; unbekannte Empfänger werden vertröstet (450), bis sie noch einmal eingelesen ist: doppelboden mailbox import DATEI.csv",
	"The directory %s was not taken over: %s. The list of before stays in use, and mail for those on it is taken. Look at the directory; then run: doppelboden mailbox refresh":                                                                                           "Das Verzeichnis %s wurde nicht übernommen: %s. Die Liste von vorher gilt weiter, und Mail für die Leute darauf wird angenommen. Nach dem Verzeichnis sehen; dann: doppelboden mailbox refresh",
	"The directory %s was not taken over: too many addresses would be gone at once (%s). The list of before stays in use, and mail for those on it is taken. Look at the directory. If that many have really left, run: doppelboden mailbox refresh --accept-removals %s": "Das Verzeichnis %s wurde nicht übernommen: Zu viele Adressen wären auf einmal weg (%s). Die Liste von vorher gilt weiter, und Mail für die Leute darauf wird angenommen. Nach dem Verzeichnis sehen. Sind wirklich so viele gegangen: doppelboden mailbox refresh --accept-removals %s",
	"The directory %s was never read as a whole, so unknown recipients are put off (450).":                                                                                                                                                                                "Das Verzeichnis %s wurde noch nie ganz gelesen; darum werden unbekannte Empfänger vertröstet (450).",
	"The list of the directory %s is of %s, older than %s, so unknown recipients are put off (450).":                                                                                                                                                                      "Die Liste des Verzeichnisses %s ist vom %s, älter als %s; darum werden unbekannte Empfänger vertröstet (450).",
	"The list of the directory %s was written in part only, so unknown recipients are put off (450).":                                                                                                                                                                     "Die Liste des Verzeichnisses %s wurde nur zum Teil geschrieben; darum werden unbekannte Empfänger vertröstet (450).",
	"%s mails for people whom nobody knows are held. They are safe; more of them are put off (450). See: doppelboden queue list --state held; then doppelboden mailbox assign ID ADDRESS":                                                                                 "%s Mails für Leute, die hier niemand kennt, sind angehalten. Sie sind sicher; weitere werden vertröstet (450). Ansehen: doppelboden queue list --state held; dann doppelboden mailbox assign KENNUNG ADRESSE",
	"Mail for the list %s does not reach all of its members: %s are missing, such as %s. All others get it. See: doppelboden mailbox show %s":                                                                                                                             "Mail an den Verteiler %s erreicht nicht alle Mitglieder: es fehlen %s, etwa %s. Alle anderen bekommen sie. Ansehen: doppelboden mailbox show %s",
	"Not every sender can log in: %s. Mail of all others goes on. Repair the file; the node reads it again every ten seconds.":                                                                                                                                            "Nicht jeder Absender kann sich anmelden: %s. Mail aller anderen läuft weiter. Die Datei in Ordnung bringen; der Knoten liest sie alle zehn Sekunden neu.",

	// Scanners and the certificate.
	"The scanner %s at %s has not worked since %s. Mail is taken and waits until it was scanned, or until the time is over that city.toml sets. Look at the scanner and start it again.": "Der Scanner %s unter %s arbeitet nicht mehr, seit %s. Mail wird angenommen und wartet, bis sie geprüft ist oder die Frist aus city.toml um ist. Nach dem Scanner sehen und ihn neu starten.",
	"The scanner %s at %s refused a mail of %s MB as too large. Such mail waits although the scanner works. Raise in its configuration: %s":                                              "Der Scanner %s unter %s lehnte eine Mail mit %s MB als zu groß ab. Solche Mail wartet, obwohl er arbeitet. In seiner Konfiguration erhöhen: %s",
	"Mail of %s waits to be scanned, the oldest since %s. It is safe.":                                                                                                                   "Mail von %s wartet auf die Prüfung, die älteste seit %s. Sie ist sicher.",
	"Look at the scanners: doppelboden status": "Nach den Scannern sehen: doppelboden status",
	"After %s it is handed over with a mark.":  "Nach %s wird sie mit einem Vermerk übergeben.",
	"The new certificate cannot be used: %s. The one from before is shown, and all doors work. Put both files in order; they are read by themselves.":                                            "Das neue Zertifikat ist nicht zu gebrauchen: %s. Gezeigt wird das von vorher, und alle Türen arbeiten. Beide Dateien in Ordnung bringen; sie werden von selbst gelesen.",
	"%s makes no certificate for %s: %s. It must reach this node at port 443 by that name; it is asked again every %s. Until then browsers warn of the certificate that is shown. Mail goes on.": "%s stellt kein Zertifikat für %s aus: %s. Sie muss diesen Knoten unter dem Namen an Port 443 erreichen; neu gefragt wird alle %s. Bis dahin warnen Browser vor dem Zertifikat, das gezeigt wird. Mail läuft weiter.",
	"The certificate ended at %s: browsers and telephones refuse to connect. Mail goes on. Put a new one into %s; it is read by itself.":                                                         "Das Zertifikat ist abgelaufen am %s: Browser und Telefone verweigern die Verbindung. Mail läuft weiter. Ein neues in %s ablegen; es wird von selbst gelesen.",
	"The certificate ends at %s. Then browsers and telephones refuse to connect. Put a new one into %s; it is read by itself.":                                                                   "Das Zertifikat läuft ab am %s. Dann verweigern Browser und Telefone die Verbindung. Ein neues in %s ablegen; es wird von selbst gelesen.",
}
