// Package notify tells people by SMS what they must know while their mail is down.
//
// It takes a tenant, a telephone number and a text, and gives the text to the city's own
// gateway: over HTTP, as that gateway wants it, or to a program on this machine. It promises:
//
//   - What a person is told about an event is told her once: who was told is on the disk
//     right after the gateway took it. A crash between the two tells her twice, never not
//     at all.
//   - A gateway that does not answer is asked again, less and less often, for as long as
//     the event lasts; what it says is there for people to read.
//   - No tenant sends more in 24 hours than its configuration allows, whatever happens:
//     each SMS costs money.
//   - Numbers and texts are put into a gateway's format so that nothing in them can change
//     the request, and the gateway's answer is hostile.
//
// It never decides when somebody must be told, never writes a secret or a text into a log,
// and never travels by the mail that it tells of (promise 9).
package notify
