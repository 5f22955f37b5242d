package say

// harvests holds what commands say about filled mailboxes.
var harvests = map[string]string{}

// harvestRefusals holds the public texts of what harvest refuses.
var harvestRefusals = map[string]string{}

// harvestMistakes holds what is said of mistakes in city.toml.
var harvestMistakes = map[string]string{
	"without sync = true no mailbox is read":                                             "ohne sync = true wird kein Postfach gelesen",
	"write sync = true, or leave sync_days out":                                          "sync = true schreiben, oder sync_days weglassen",
	"write address = \"journal@journal.musterstadt.de\": an address that no mailbox has": "address = \"journal@journal.musterstadt.de\" schreiben: eine Adresse, die kein Postfach hat",
	"it is the postmaster's":                                                             "es ist die des Postmasters",
	"write senders = [\"groupware\"]: names of [[tenant.sender]]":                        "senders = [\"groupware\"] schreiben: Namen von [[tenant.sender]]",
	"no [[tenant.sender]] of this tenant has this name":                                  "kein [[tenant.sender]] dieses Mandanten heißt so",
}
