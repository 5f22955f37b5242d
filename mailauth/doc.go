// Package mailauth checks what is true about the sender of a mail: SPF (RFC 7208), DKIM
// (RFC 6376, 8301, 8463), DMARC (RFC 9989) and iprev (RFC 8601, section 3).
//
// It takes a mail that has arrived and is not yet kept (intake.Check) and gives the
// Authentication-Results lines to go above it, whether the reverse-path is the sender's
// own, and what the tenant's choice makes of a DMARC policy. It promises:
//
//   - Trouble with the DNS becomes "temperror" within a deadline. It never refuses and
//     never holds a mail.
//   - The work is bounded whatever the mail and the DNS say: in signatures, in octets,
//     in questions.
//   - Nothing that a stranger chose can break out of the line that it stands in.
//
// It never changes a body, never trusts what a mail says about itself (for lines that
// claim our name see courier), and signs nothing.
package mailauth
