// Package harvest keeps the mailboxes of ours filled with what passes neither the MX nor the
// smart host: mail between two colleagues.
//
// It takes journal reports (Exchange) from the senders that the configuration names, and
// reads the groupware's mailboxes over IMAP. It gives back messages without deliveries,
// copies of them in folders, what the groupware calls them (store.Harvest), and what can be
// said of a mailbox (Coverage). It promises:
//
//   - One mail is one copy in a folder, however many ways it came and in any order.
//   - What people did here wins until it went back: a change in the groupware touches no
//     mail that has a deed.
//   - What vanishes from the groupware is only hidden, later, and not when too much vanishes
//     at once, or when a restore of the groupware may have lost it.
//   - A journal report is acknowledged only when it is kept: unwrapped, or whole with the
//     postmaster.
//   - Coverage says nothing that is not proved.
//   - Its memory does not grow with the number of mails, and it goes on where it was.
//
// What a groupware answers and what a report says is hostile: it is bounded in size and time.
//
// It never changes anything in the groupware, never makes a delivery, and does nothing in
// attack mode.
package harvest
