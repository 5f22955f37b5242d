// Package intake is the only creator of messages.
//
// It takes an envelope and the bytes of a mail from a door, decides who the recipients
// are, has the body sealed (segment), and has everything made durable in one commit
// (store.Acceptor). It promises:
//
//   - Commit returns a receipt only after body, envelope, copies and ledger link are on
//     disk.
//   - The bytes that messages under way hold in memory never exceed one budget; when
//     it is used up, new mail is put off with a temporary error, before its data where
//     possible.
//   - A commit whose outcome is unknown is run again, and what may have been kept is
//     handed over even when the sender was told to try again (promise 4).
//
// It never talks to a peer, never delivers, and never changes a body: what we add goes
// before it.
package intake
