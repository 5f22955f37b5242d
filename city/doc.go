// Package city reads the two configurations and answers whose mailbox an address is.
//
// It takes the text of city.toml (Parse), of node.toml (ParseNode) and of a list of
// mailboxes (ParseCSV), and gives back checked values or every mistake it can find,
// each with file, line, field, value and what would be right. From tenants, routes and
// mailboxes it builds a Directory, which is never changed, so that it can be asked
// without a lock for every RCPT.
//
// It never opens a socket or a database, never guesses what a mistake was meant to be,
// and never prints the value of a field that could be a secret.
package city
