// Package filing puts mail that has waited for long straight into its mailbox, with the
// date at which it came (IMAP APPEND), instead of handing it to the groupware's door:
// there it would look like new mail, and out-of-office replies would go to people who
// wrote weeks ago.
//
// It takes runs of one box's mails from the queue and gives back an outcome for each that
// it tried, in order, up to the first that failed. It promises:
//
//   - What the folder said before a run is on disk (store.Filing) before the first octet
//     of a mail leaves. Where the end of an earlier run is not known, what came into the
//     folder since then is compared with what was to be put there, and only what is
//     missing is put there: doubles come only where the mailbox could not be looked into.
//   - The bytes are those that the courier hands over, after a Return-Path (RFC 5321,
//     section 4.4), which who delivers finally adds.
//   - Attempts and answers are in the couriers' tally like the courier's own.
//   - A mail leaves whole or not at all, and none leaves when the node may not hand over.
//
// It never decides when or whether to try again, and never removes anything from a mailbox.
package filing
