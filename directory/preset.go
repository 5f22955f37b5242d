package directory

import "doppelboden/city"

// A preset is what a kind of directory calls things.
type preset struct {
	filter      string   // everybody at whom mail can arrive
	id          string   // the attribute that stays when everything else changes
	attributes  []string // to ask for, besides that with the aliases
	department  []string // attributes with the department, the first that has a value
	building    []string // attributes with the building, likewise
	phone       []string // attributes with a mobile telephone, likewise
	membersBy   []string // attributes with names of members
	addressesBy []string // attributes with addresses of members
	openersBy   []string // attributes of a function mailbox with names or addresses of who may open it
	domainScope bool     // whether the server knows the control
}

// presets are the kinds of directories that we know.
var presets = map[city.Preset]preset{
	// RFC 2798 for people, RFC 4519 for groups; nisMailAlias comes with OpenLDAP.
	city.OpenLDAP: {
		filter: "(mail=*)",
		id:     "entryUUID", // RFC 4530
		attributes: []string{"objectClass", "entryUUID", "mail", "cn", "displayName", "ou", "departmentNumber", "employeeType",
			"physicalDeliveryOfficeName", "mobile", "member", "uniqueMember", "rfc822MailMember", "businessCategory", "roleOccupant", "owner"},
		department:  []string{"ou", "departmentNumber"},
		building:    []string{"physicalDeliveryOfficeName"}, // RFC 4519, section 2.23
		phone:       []string{"mobile"},                     // RFC 4524, section 2.18
		membersBy:   []string{"member", "uniqueMember"},
		addressesBy: []string{"rfc822MailMember"},
		// RFC 4519, sections 2.21 and 2.29: who answers for an entry, and who fills a role.
		openersBy: []string{"member", "uniqueMember", "rfc822MailMember", "roleOccupant", "owner"},
	},
	city.ActiveDirectory: {
		filter: "(&(|(mail=*)(proxyAddresses=*))(|(&(objectClass=user)(!(objectClass=computer)))(objectClass=group)(objectClass=contact)))",
		id:     "objectGUID",
		attributes: []string{"objectClass", "objectGUID", "mail", "cn", "displayName", "department", "physicalDeliveryOfficeName", "mobile", "proxyAddresses", "targetAddress",
			"userAccountControl", "msExchRecipientTypeDetails", "msExchRequireAuthToSendTo", "member", "msExchDelegateListLink"},
		department: []string{"department"},
		building:   []string{"physicalDeliveryOfficeName"},
		phone:      []string{"mobile"},
		membersBy:  []string{"member"},
		// Exchange keeps full access in the mailbox's own security descriptor; here it writes
		// only to whom Outlook shows the mailbox by itself because of it. Who may send on
		// behalf (publicDelegates) may not read.
		openersBy:   []string{"msExchDelegateListLink"},
		domainScope: true,
	},
}

// filterFor returns the filter of a source: that of the preset, narrowed by that of the
// configuration, which was found to be one whole filter when it was read, so that it
// cannot reach beyond its brackets.
func (p preset) filterFor(l *city.LDAP) string {
	if l.Filter == "" {
		return p.filter
	}
	return "(&" + p.filter + l.Filter + ")"
}

// attributesFor returns what to ask for.
func (p preset) attributesFor(l *city.LDAP) []string {
	all := p.attributes[:len(p.attributes):len(p.attributes)]
	for _, name := range []string{l.Aliases, l.Members} {
		if name != "" {
			all = append(all, name)
		}
	}
	return all
}
