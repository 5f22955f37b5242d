// Package courier hands messages to the next server, over SMTP (RFC 5321) or LMTP
// (RFC 2033), and reports one outcome for each delivery.
//
// It takes a message with the deliveries whose turn it is, and gives back outcomes in
// the same order. It promises:
//
//   - A delivery is reported as taken only after the next server's final 2xx that
//     followed the final dot. Before the dot nothing is in doubt; after it, silence is.
//   - Unknown is temporary: only a clear 5xx about this recipient or this message is
//     reported as refused. What the server says about the connection or about us is
//     about the route.
//   - A mail leaves whole or not at all: no final dot follows a body that could not be
//     read to its end, that holds a bare CR or NUL, or that the node may not hand over
//     any more (Options.MayDot).
//   - No line end but CRLF ever leaves, and no line that starts with a dot leaves
//     unstuffed, so nothing can be smuggled through us.
//   - No server makes an agent wait for longer than its deadlines.
//
// It never decides when or whether to try again, never creates messages, and does not
// know what an outage is: that is for queue, intake and event.
package courier
