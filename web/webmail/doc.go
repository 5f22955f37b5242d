// Package webmail is the emergency mailbox in a browser.
//
// It takes what people click and write, and has it done by the rooms: folder (what lies in
// a mailbox, and sending), search (lists and finding), letter (one mail, made safe). Every
// page is written by the node and works without a script; scripts of ours only make it
// quicker. It promises:
//
//   - Every request asks account.Room whether this person may open this mailbox, now. For
//     everybody else a mailbox, a folder and a mail do not exist.
//   - What came with a mail is shown as text, or in a frame of an opaque origin in which
//     nothing runs and which loads nothing from elsewhere until its reader asks for it.
//   - Files go out under names that lead nowhere, as downloads, or, where a browser shows
//     them without running anything, in such a frame.
//   - Two clicks on "send" send once. A draft that the page said it saved is on the disk.
//   - What was moved or deleted can be brought back with the next click.
//   - The line on top says what is known of this mailbox, and "unknown" where it is not.
//
// It never decides who may do what, never makes a message, and keeps no mail.
package webmail
