package say

// attacks holds what is said in attack mode.
var attacks = map[string]string{
	"attack":             "Angriff",
	"opened a way again": "öffnete einen Weg wieder",
	"one of --attack and --maintenance is needed": "entweder --attack oder --maintenance ist anzugeben",
	"an attack has no planned time":               "ein Angriff hat keine geplante Zeit",
	"somebody else may have your own systems: distrust the directory, take nothing from them, hand nothing over":    "vielleicht hat jemand anderes die eigenen Systeme: dem Verzeichnis nicht trauen, nichts von ihnen annehmen, nichts übergeben",
	"Attack mode of %s. Mail is taken as before, and the emergency mailboxes work.":                                 "Angriffsfall bei %s. Post wird angenommen wie bisher, und die Notfallpostfächer arbeiten.",
	"All ways are open. End it: doppelboden event close %s --tenant %s":                                             "Alle Wege sind offen. Beenden: doppelboden event close %s --tenant %s",
	"Each way is opened again by hand, when you know that it is clean: doppelboden event release %s %s --tenant %s": "Jeder Weg wird von Hand wieder geöffnet, wenn feststeht, dass er sauber ist: doppelboden event release %s %s --tenant %s",
	"directory: neither read nor asked; log-ins that came from it are void":                                         "directory: Verzeichnis weder gelesen noch gefragt; Anmeldungen, die daher kamen, gelten nicht mehr",
	"senders: groupware, applications and devices send nothing through us":                                          "senders: Groupware, Fachverfahren und Geräte senden nichts über uns",
	"handover: nothing is handed over to the groupware; it waits":                                                   "handover: der Groupware wird nichts übergeben; es wartet",
	"mirror: nothing is read from the groupware's mailboxes":                                                        "mirror: aus den Postfächern der Groupware wird nichts gelesen",
	"in attack mode: open a way again (directory, senders, handover, mirror)":                                       "im Angriffsfall: öffnet einen Weg wieder (directory, senders, handover, mirror)",
	"%s is open again.": "%s ist wieder offen.",
	"ATTACK MODE %s since %s: mail is taken, and the emergency mailboxes work. It ends by hand only.": "ANGRIFFSFALL %s seit %s: Post wird angenommen, und die Notfallpostfächer arbeiten. Er endet nur von Hand.",
	"The attack %s, from %s to %s, is over.":                                                          "Der Angriffsfall %s, von %s bis %s, ist vorbei.",
}

// attackRefusals holds the public texts of what attack mode refuses.
var attackRefusals = map[string]string{
	"attack mode is left step by step: first open each way again with event release": "der Angriffsfall wird Schritt für Schritt verlassen: zuerst jeden Weg mit event release wieder öffnen",
	"%s is none of the ways: %s":                                          "%s ist keiner der Wege: %s",
	"this way is open already: %s":                                        "dieser Weg ist schon offen: %s",
	"this is no attack that lasts":                                        "das ist kein Angriff, der andauert",
	"the administration is in attack mode: its directory is not believed": "die Verwaltung ist im Angriffsfall: ihrem Verzeichnis wird nicht geglaubt",
}
