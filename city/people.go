package city

import (
	"slices"
	"strings"

	"doppelboden"
)

// A People is what a tenant says of who exists, besides its lists.
type People struct {
	Departments []Department // those whose mailboxes go first or last
	Directories []LDAP       // where lists of mailboxes come from; none: only commands
	Unknown     []Unknown    // what becomes of mail for addresses that nobody has; none: it is refused
}

// A Department gives its mailboxes a priority.
type Department struct {
	Name     string // as mailboxes name it; case does not matter
	Priority int    // 0 to 9, of every mailbox that has the default priority
}

// An Unknown says what becomes of mail in some domains for addresses that nobody has.
type Unknown struct {
	Domains  []string            // of the tenant; no two Unknowns name one
	CatchAll doppelboden.Address // who gets it; null with Keep
	Keep     bool                // it is taken and held until a person says whose it is
}

// parsePeople reads what belongs to People.
func parsePeople(s *section, domains []string) People {
	return People{Departments: parseDepartments(s), Directories: parseDirectories(s), Unknown: parseUnknown(s, domains)}
}

// parseDepartments reads the [[tenant.department]] of a tenant.
func parseDepartments(s *section) []Department {
	names := map[string]int{}
	var all []Department
	for _, ds := range s.tables("department") {
		want := says(`write the department's name, such as "Feuerwehr"`)
		d := Department{Name: strings.TrimSpace(ds.must("name", want))}
		if problem := BadWords(d.Name); !problem.IsZero() {
			ds.wrong("name", problem, want)
		}
		key := strings.ToLower(d.Name)
		if line, twice := names[key]; twice && key != "" {
			ds.wrong("name", says("the department of line %s has the same name", line), says("write every department once"))
		}
		names[key] = ds.at("name")
		if !ds.has("priority") {
			ds.missing("priority", says("write 0 to 9; 9 is handed over first"))
		}
		d.Priority = int(ds.number("priority", doppelboden.DefaultPriority, 0, 9))
		ds.done()
		all = append(all, d)
	}
	return all
}

// parseUnknown reads the [[tenant.unknown]] of a tenant.
func parseUnknown(s *section, domains []string) []Unknown {
	taken := map[string]bool{}
	var all []Unknown
	for _, us := range s.tables("unknown") {
		u := Unknown{Domains: domains}
		if us.has("domains") {
			u.Domains = ownDomains(us, domains)
		}
		for _, d := range u.Domains {
			if taken[d] {
				us.wrong("domains", says("another [[tenant.unknown]] is about %s already", d), says("write every domain once"))
			}
			taken[d] = true
		}
		u.Keep = us.flag("keep")
		u.CatchAll = parseCatchAll(us, domains)
		switch {
		case u.Keep && us.has("catch_all"):
			us.wrong("catch_all", says("contradicts keep = true"), says("leave out one of the two"))
		case !u.Keep && !us.has("catch_all") && !us.has("keep"):
			us.missing("catch_all", says("write catch_all with an address, or keep = true"))
		}
		us.done()
		all = append(all, u)
	}
	return all
}

// ownDomains reads a list of the tenant's domains.
func ownDomains(s *section, domains []string) []string {
	var own []string
	for i, written := range s.texts("domains", says(wantDomains)) {
		domain, ok := asciiDomain(written)
		switch {
		case written == "":
		case !ok || !slices.Contains(domains, domain):
			s.wrongItem("domains", i, written, says("not a domain of this tenant"), says("write one of tenant.domains"))
		default:
			own = append(own, domain)
		}
	}
	return own
}

// parseCatchAll reads the address that gets what nobody has.
func parseCatchAll(s *section, domains []string) doppelboden.Address {
	want := says("write an address in one of this tenant's domains")
	written := s.text("catch_all", "", want)
	if written == "" {
		return doppelboden.Address{}
	}
	a, err := doppelboden.ParseAddress(written)
	switch {
	case err != nil:
		s.wrong("catch_all", notAddress(err), want)
	case !slices.Contains(domains, a.Domain):
		s.wrong("catch_all", says("its domain is none of this tenant's"), want)
	}
	return a
}

// priority returns the priority of a mailbox: its own, or that of its department.
func (p *People) priority(box doppelboden.Mailbox) int {
	if box.Priority != doppelboden.DefaultPriority || box.Department == "" {
		return box.Priority
	}
	for _, d := range p.Departments {
		if strings.EqualFold(d.Name, box.Department) {
			return d.Priority
		}
	}
	return box.Priority
}

// Lists reports whether a directory of the tenant has this name.
func (p *People) Lists(source string) bool {
	return slices.ContainsFunc(p.Directories, func(l LDAP) bool { return l.Name == source })
}

// unknownIn returns what becomes of mail for nobody in a domain; nil: it is refused.
func (p *People) unknownIn(domain string) *Unknown {
	for i := range p.Unknown {
		if slices.Contains(p.Unknown[i].Domains, domain) {
			return &p.Unknown[i]
		}
	}
	return nil
}
