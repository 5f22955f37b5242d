// Package smtpd is the door for mail: it speaks SMTP with strangers at the MX, and, with
// a Gate, with the city's own senders at the submission (RFC 6409).
//
// It takes connections and gives what they say to an Intake: one Transaction for each
// mail, its recipients, and its body as a stream. It promises:
//
//   - A 250 to the end of a mail is sent only after Transaction.Commit returned without
//     an error, and Transaction.Acked always learns whether that 250 was written.
//   - Only CRLF.CRLF ends a mail (or the octet count of BDAT). No byte of a body is ever
//     read as a command, and no body with a bare CR or a NUL gets past it: the mail is
//     refused, or, of own senders, mended. A bare LF becomes CRLF, or the mail is refused.
//   - With a Gate nobody begins a mail whom the Gate does not know, and no password is
//     taken outside TLS.
//   - Only trusted hops may say that a client is somebody else; strangers are not told
//     that one can.
//   - Nothing that was read before TLS is believed after it.
//   - The memory of a connection is bounded, whatever is sent; see inputBase and
//     inputBulk.
//   - What a peer is told about an error comes from doppelboden.Error alone.
//
// It never keeps a body in memory, never looks into one, never decides who exists, never
// opens a connection, and never writes an address into a metric or, above debug, into
// the log. Everything a peer says is hostile.
package smtpd
