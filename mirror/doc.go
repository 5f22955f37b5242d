// Package mirror keeps on a node's own disk what its doors must know, for the time in
// which the common database does not answer: tenants, mailboxes with their aliases and
// members, what people have decided, how old the lists are, the tenants' wrapped keys, and
// the version of city.toml that the node runs.
//
// It takes a database that works and a folder. It promises that a mirror is whole or is
// not there (checksum, atomic file), that it says so when it may lack a change that the
// database has, and that it is written soon after a change and seldom enough to cost
// nothing: the mailboxes of a city apart from the rest. It never holds mail, knows no
// password, and is never asked while the database answers.
//
// # Behind
//
// Before a change goes to the database, a marker goes to the disk, and it goes away with
// the next mirror that was read after the change. A node that starts from a mirror with a
// marker does not know who exists: Listings says so, and unknown recipients are put off.
// Without the marker, a mailbox that was added in the second before a crash would be
// refused for good.
package mirror
