// Package web is the node's HTTPS server and what all pages have in common: layout,
// languages, sessions, protection, and files that never change.
//
// It takes handlers of other packages (Mount) and serves them. It promises: no handler
// runs for a host that this machine does not answer for; no handler sees a request that
// changes something unless it comes from a page of ours with that visitor's token; every
// answer carries a content security policy that allows no inline script, no inline style
// and no frame around it; a session comes only from the rooms that know people, and
// never from a request; what depends on a person is never stored by a cache and never
// compressed; every mistake ends on a page that says what to do next.
//
// It never knows what a mailbox is, never reads mail, and writes no address, subject or
// search word into a log.
package web
