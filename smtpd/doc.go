// Package smtpd is the door at the MX: it speaks SMTP with strangers.
//
// It takes connections and gives what they say to an Intake: one Transaction for each
// mail, its recipients, and its body as a stream. It promises:
//
//   - A 250 to the end of a mail is sent only after Transaction.Commit returned without
//     an error, and Transaction.Acked always learns whether that 250 was written.
//   - Only CRLF.CRLF ends a mail (or the octet count of BDAT). No byte of a body is ever
//     read as a command, and no body with a bare CR or a NUL gets past it. A bare LF
//     becomes CRLF, or the mail is refused.
//   - Nothing that was read before TLS is believed after it.
//   - The memory of a connection is bounded, whatever is sent; see inputBase and
//     inputBulk.
//   - What a peer is told about an error comes from doppelboden.Error alone.
//
// It never keeps a body in memory, never looks into one, never decides who exists, never
// opens a connection, and never writes an address into a metric or, above debug, into
// the log. Everything a peer says is hostile.
package smtpd
