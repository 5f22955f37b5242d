package say

// events holds what is said about outages and planned maintenance.
var events = map[string]string{
	"the `building`": "das `Gebäude`",
	"building":       "Gebäude",
}
