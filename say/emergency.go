package say

// emergencies holds what is said to a city that never prepared.
var emergencies = map[string]string{
	"in the middle of an outage, for a city that never prepared: mail waits, people work here, the usual ports at all addresses":         "mitten im Ausfall, für eine Stadt, die nichts vorbereitet hat: Post wartet, die Leute arbeiten hier, die üblichen Ports an allen Adressen",
	"`URL` of the authority that makes the certificate (default with --emergency: Let's Encrypt; \"none\": nobody does)":                 "`URL` der Stelle, die das Zertifikat ausstellt (Voreinstellung mit --emergency: Let's Encrypt; \"none\": niemand)",
	"1. In the DNS: an address for %s, and it as the only MX of %s. Senders that were turned away come back within hours.":               "1. Im DNS: eine Adresse für %s, und dies als einziger MX von %s. Abgewiesene Absender kommen binnen Stunden wieder.",
	"2. Start the node (as root, or with the right to open ports below 1024):":                                                           "2. Den Knoten starten (als root, oder mit dem Recht auf Ports unter 1024):",
	"3. In another window the people: a list from the payroll office with address,name,department,priority,phone; 9 is the crisis team.": "3. In einem anderen Fenster die Leute: eine Liste der Personalstelle mit address,name,department,priority,phone; 9 ist der Krisenstab.",
	"4. A sheet for everybody, to be printed and handed out in person:":                                                                  "4. Ein Blatt für alle, zum Ausdrucken und persönlichen Aushändigen:",
	"5. What came for people who are not on the list waits and is seen with:":                                                            "5. Was für Leute kam, die nicht auf der Liste stehen, wartet und ist zu sehen mit:",
}
