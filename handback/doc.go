// Package handback hands back to the groupware what people did in their mailboxes here while
// it was down: mail they sent, drafts, read marks, moves, deletions.
//
// It takes deeds from the store (the difference between how a mail lies here and how the
// groupware has it), and a way into the groupware's mailboxes. It promises:
//
//   - What a folder said before mails are put into it is on disk (store.HandbackNote) before
//     the first octet leaves. Where the end of an earlier try is not known, what came into the
//     folder since then is compared: nothing is missing, and nothing is there twice where the
//     groupware can be looked into.
//   - Only differences are carried out: a mark that somebody has set in the groupware
//     meanwhile stays.
//   - What was deleted here goes into the groupware's bin. Nothing is ever expunged but one of
//     two copies that a move of ours has made: on servers that cannot move, or that died.
//   - A mail that cannot be told from another one is left alone, and its owner learns of it.
//   - A mailbox is worked on when it is well, by priority, beside the mail that waits for it.
//   - Nothing that goes back makes anybody's out-of-office reply: APPEND and STORE do not, and
//     letters have a null sender and Auto-Submitted (RFC 3834).
//   - Where the groupware lets nobody into its mailboxes, owners get what they wrote as one mail
//     with attachments, and the rest in words, once.
//   - At the end of an event who opened a mailbox here gets one mail that says what came in,
//     and what became of what was done.
//
// What a groupware answers is hostile. It never decides how a mailbox is, never makes a
// message itself (intake does), and does nothing for a tenant that is stopped.
package handback
