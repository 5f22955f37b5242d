// Package sink is a stand-in for any next server: it takes mail over SMTP (RFC 5321)
// and LMTP (RFC 2033) and answers as a script says: 4xx, 5xx, late, never, with
// garbage, with a broken connection in any phase, or with a 250 for a mail that never
// gets anywhere.
//
// It takes connections and a Script. It promises to count exactly what it took, by
// message, recipient and the ids in the header, and to notice what a careful client
// never sends: bare CR and LF, NUL, unstuffed dots, commands out of order. Only
// CRLF . CRLF ends a mail for it.
//
// It is for tests, benches and demonstrations. It never hands anything on, and what it
// took is safe nowhere.
package sink
