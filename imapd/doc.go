// Package imapd is the door for mail programs: emergency mailboxes by IMAP4rev1 (RFC 3501)
// and IMAP4rev2 (RFC 9051), for phones, Outlook and Thunderbird.
//
// It takes TLS connections and shows the mailboxes of who logs in: her own, and under one
// prefix those that she shares with others. It promises:
//
//   - No password is asked for without TLS, and none is looked at by this package.
//   - What a client is told has happened has happened: a UID never names another mail, and
//     an APPEND is durable before its OK.
//   - A session learns what other sessions, webmail and new mail do in its folder.
//   - A client that sends too much, too slowly or nonsense costs a bounded amount of memory
//     and time, and can't make what it only carries (a literal) run as commands.
//   - Nobody opens a mailbox without a grant, which is asked for again while she works.
//
// The commands are read by go-imap's imapserver; gate.go stands between it and the line
// and does what it leaves out. This package never makes a message, keeps nothing, and
// writes no address, subject or content into a log.
package imapd
