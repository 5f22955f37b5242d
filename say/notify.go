package say

// notices holds what is said about telephones and SMS.
var notices = map[string]string{
	"the mobile `number` for SMS in an emergency": "die Handy-`Nummer` für SMS im Notfall",
	"telephone": "Telefon",
}

// notifyRefusals holds the public texts of what notify refuses, and of telephone numbers.
var notifyRefusals = map[string]string{
	"not a telephone number: it holds something that is no digit": "keine Telefonnummer: es kommt etwas vor, was keine Ziffer ist",
	"not a telephone number: it begins neither with + nor with 0": "keine Telefonnummer: sie beginnt weder mit + noch mit 0",
	"not a telephone number: write it as +49 171 1234567":         "keine Telefonnummer: zu schreiben wie +49 171 1234567",
}

// notifyMistakes holds what is said of mistakes in city.toml and lists.
var notifyMistakes = map[string]string{
	"not a telephone number":      "keine Telefonnummer",
	"write it as +49 171 1234567": "zu schreiben wie +49 171 1234567",
}
