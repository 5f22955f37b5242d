package say

// modes holds what commands say about how mailboxes are used.
var modes = map[string]string{
	"say whether mailboxes are used here or in the groupware; without a mode, show those that are used here": "sagt, ob Postfächer hier oder in der Groupware benutzt werden; ohne Angabe zeigt es die, die hier benutzt werden",
	"Mailboxes that are used here and not in the groupware: %d. Which ones: doppelboden mailbox mode":        "Postfächer, die hier und nicht in der Groupware benutzt werden: %d. Welche: doppelboden mailbox mode",
	"say how they are used: emergency or normal":                                                             "angeben, wie sie benutzt werden: emergency (hier) oder normal (in der Groupware)",
	"because of":                             "wegen",
	"last used":                              "zuletzt benutzt",
	"No mailbox is used here at the moment.": "Zurzeit wird kein Postfach hier benutzt.",
}

// modeRefusals holds the public texts of what is refused.
var modeRefusals = map[string]string{
	"the mode is emergency or normal": "der Modus ist emergency oder normal",
}
