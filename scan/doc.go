// Package scan asks rspamd and ClamAV what they think of a mail, and again later when
// they could not answer.
//
// It takes a mail as it came, streams it to the scanners of its tenant, and gives back
// one result. It promises:
//
//   - No mail waits for scanners for longer than its tenant's deadline, and a scanner
//     that does not work costs nothing until a probe finds it again.
//   - What a scanner did not answer clearly is Unscanned, never clean: silence,
//     nonsense, half an answer, and a mail that is too large for it.
//   - Its memory does not grow with the mail or with the answer.
//   - A mail that is Unscanned passes the gate only when it was scanned, when a person
//     said so, or after the time that its tenant set; one that waited for hours passes
//     only after it was scanned with today's signatures (decision 0013).
//
// Everything that a scanner says is hostile text: a mail's author chooses much of it.
//
// It never refuses, holds or delivers a mail itself and never changes a body.
package scan
