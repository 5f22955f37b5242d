package city

// A DMARC says what a tenant does with mail that is not proved to come from the domain
// in its From, when that domain asks for something to be done (RFC 9989).
type DMARC int

const (
	// MarkDMARC says it in Authentication-Results and nothing more. It is the default:
	// forwarders and mailing lists break proofs, and a city must not lose a citizen's mail
	// to a rule that it never chose.
	MarkDMARC DMARC = iota
	// HoldDMARC keeps such mail for a person.
	HoldDMARC
	// RefuseDMARC refuses what its domain wants rejected, and holds the rest.
	RefuseDMARC
)

// parseDMARC reads dmarc of a tenant.
func parseDMARC(s *section) DMARC {
	switch s.choice("dmarc", says(`write "mark", "hold" or "refuse"`), "mark", "hold", "refuse") {
	case "hold":
		return HoldDMARC
	case "refuse":
		return RefuseDMARC
	}
	return MarkDMARC
}
