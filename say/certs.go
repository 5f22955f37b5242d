package say

// certMistakes holds what is said of mistakes in [tls].
var certMistakes = map[string]string{
	"write the URL of its directory, such as \"https://acme-v02.api.letsencrypt.org/directory\"": "die URL ihres Verzeichnisses schreiben, etwa \"https://acme-v02.api.letsencrypt.org/directory\"",
	"not the URL of an authority": "nicht die URL einer Zertifizierungsstelle",
	"write certificate and key: what is shown until the authority has made one": "certificate und key schreiben: was gezeigt wird, bis die Zertifizierungsstelle eines gemacht hat",
	"write an address, such as \"it@musterstadt.de\"":                           "eine Adresse schreiben, etwa \"it@musterstadt.de\"",
}
