package say

// wayback holds what is said about how old mail gets back into mailboxes.
var wayback = map[string]string{
	"Its mailboxes can NOT be reached by IMAP since %s, next attempt in %s: %s": "Die Postfächer sind per IMAP seit %s NICHT erreichbar, nächster Versuch in %s: %s",
	"Old mail waits for that; new mail is handed over. Who would rather have it now, with today's date and with out-of-office replies to its senders, writes append_after_hours = 0 into city.toml.": "Alte Mail wartet darauf; neue wird übergeben. Wer sie lieber gleich hätte, mit heutigem Datum und mit Abwesenheitsnotizen an ihre Absender, schreibt append_after_hours = 0 in city.toml.",
	"Old mail goes straight into the mailboxes, with its date: mailboxes that wait: %d, being filled: %d":                                                                                            "Alte Mail kommt mit ihrem Datum direkt in die Postfächer: wartende Postfächer: %d, gerade gefüllt: %d",
	"The oldest mail waits for %s. It will arrive with the date of its hand-over, and out-of-office replies will go to its senders: this route has no [tenant.route.imap].":                          "Die älteste Mail wartet seit %s. Sie kommt mit dem Datum der Übergabe an, und Abwesenheitsnotizen gehen an ihre Absender: diese Route hat kein [tenant.route.imap].",
	"Routes without [tenant.route.imap]: %s. After an outage their mail arrives with the date of its hand-over, and out-of-office replies go to its senders.":                                        "Routen ohne [tenant.route.imap]: %s. Nach einem Ausfall kommt ihre Mail mit dem Datum der Übergabe an, und Abwesenheitsnotizen gehen an die Absender.",
	"It flows at %s a second.":                             "Es fließen %s je Sekunde ab.",
	"As fast as mail comes now, there is no end in sight.": "So schnell, wie jetzt Mail kommt, ist kein Ende abzusehen.",
	"All done at about %s.":                                "Alle fertig gegen %s.",
	"All done at about %s (priority %s: %d).":              "Alle fertig gegen %s (Vorrang %s: %d).",
	"Priority %s (%d) done at about %s.":                   "Vorrang %s (%d) fertig gegen %s.",
	"%.1f":                                                 "%.1f",
	"Route %s:":                                            "Route %s:",
}
