package say

// notices holds what is said about telephones and SMS.
var notices = map[string]string{
	"the mobile `number` for SMS in an emergency": "die Handy-`Nummer` für SMS im Notfall",
	"telephone": "Telefon",
}

// notifyRefusals holds the public texts of what notify refuses, and of telephone numbers.
var notifyRefusals = map[string]string{
	"no SMS gateway is configured: write [tenant.sms]":             "kein SMS-Dienst ist eingerichtet: [tenant.sms] schreiben",
	"as many SMS as per_day allows were sent in the last 24 hours": "in den letzten 24 Stunden gingen so viele SMS hinaus, wie per_day erlaubt",
	"not a telephone number: it holds something that is no digit":  "keine Telefonnummer: es kommt etwas vor, was keine Ziffer ist",
	"not a telephone number: it begins neither with + nor with 0":  "keine Telefonnummer: sie beginnt weder mit + noch mit 0",
	"not a telephone number: write it as +49 171 1234567":          "keine Telefonnummer: zu schreiben wie +49 171 1234567",
}

// notifyMistakes holds what is said of mistakes in city.toml and lists.
var notifyMistakes = map[string]string{
	"none of the gateways that are known here": "keiner der Dienste, die hier bekannt sind",
	"write preset = \"sipgate\", \"seven\", \"link\" or \"smn\", or url and body, or command = [\"/usr/bin/program\", \"{to}\"]": "preset = \"sipgate\", \"seven\", \"link\" oder \"smn\" schreiben, oder url und body, oder command = [\"/usr/bin/programm\", \"{to}\"]",
	"not the URL of a gateway":                                                                                    "nicht die URL eines Dienstes",
	"write a URL such as \"https://gateway.example/sms\"":                                                         "eine URL schreiben, etwa \"https://dienst.example/sms\"",
	"says neither whom to write to nor what":                                                                      "sagt weder, an wen, noch was",
	"write the request, such as body = '{\"to\":\"{to}\",\"text\":\"{text}\"}'":                                   "die Anfrage schreiben, etwa body = '{\"to\":\"{to}\",\"text\":\"{text}\"}'",
	"write \"none\", \"basic\", \"bearer\" or \"header\"":                                                         "\"none\", \"basic\", \"bearer\" oder \"header\" schreiben",
	"write password_file = \"sms.password\" (a file in the folder of the keys), or password_credential = \"sms\"": "password_file = \"sms.password\" schreiben (eine Datei im Ordner der Schlüssel), oder password_credential = \"sms\"",
	"not the name of a header field":                                                                              "nicht der Name eines Kopffelds",
	"write the name of a header field, such as \"X-Api-Key\"":                                                     "den Namen eines Kopffelds schreiben, etwa \"X-Api-Key\"",
	"write who sends, as the gateway knows it":                                                                    "schreiben, wer sendet, wie der Dienst ihn kennt",
	"contradicts command":                                                                                         "widerspricht command",
	"write what the gateway's answer holds when it took the text":                                                 "schreiben, was in der Antwort des Dienstes steht, wenn er den Text angenommen hat",
	"write the user's name":                                                                                       "den Namen des Benutzers schreiben",
	"write \"POST\", \"GET\" or \"PUT\"":                                                                          "\"POST\", \"GET\" oder \"PUT\" schreiben",
	"write the whole path of a program, and {to} where the number belongs":                                        "den ganzen Pfad eines Programms schreiben, und {to}, wo die Nummer hingehört",
	"write \"application/json\" or \"application/x-www-form-urlencoded\"":                                         "\"application/json\" oder \"application/x-www-form-urlencoded\" schreiben",
	"not a program that can be told whom to write to":                                                             "kein Programm, dem man sagen kann, an wen",
	"is of no use without auth":                                                                                   "nützt nichts ohne auth",
	"not a telephone number":                                                                                      "keine Telefonnummer",
	"write it as +49 171 1234567":                                                                                 "zu schreiben wie +49 171 1234567",
}
