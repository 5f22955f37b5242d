package say

// accountMistakes holds what is wrong with [tenant.accounts].
var accountMistakes = map[string]string{
	`write "always" or "events"`:                           `"always" oder "events" schreiben`,
	`write "de" or "en"`:                                   `"de" oder "en" schreiben`,
	"not the address of a page over https, without a path": "nicht die Adresse einer Seite über https, ohne Pfad",
	`write the address that people open, such as "https://notfall.musterstadt.de"`: `die Adresse schreiben, die Menschen öffnen, etwa "https://notfall.musterstadt.de"`,
	"so large that strangers are in it, who could try more passwords":              "so groß, dass Fremde darin sind, die mehr Passwörter probieren könnten",
}
