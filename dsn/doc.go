// Package dsn writes delivery status notifications: what a sender is told when a mail
// could not be delivered, waits for long, or arrived.
//
// It takes what is known of a message, of its recipients and of the next servers' words,
// and gives back the bytes of a multipart/report (RFC 3461, 3462/6522, 3464, and RFC 6533
// where an address is not US-ASCII): a part for people in German and English, a part for
// machines, and the header of the mail or all of it. It promises:
//
//   - Every word that came with the mail or from a next server is reduced to one line of
//     harmless characters and bounded. None of them can end a line, open a header field,
//     or turn the direction of writing.
//   - The result has lines of at most 998 octets that end in CRLF, and holds octets above
//     127 only where Content says so.
//   - The same report gives the same bytes.
//
// It decides nothing: not whether somebody may be told (intake does), and not when. It
// neither stores nor sends.
package dsn
