// Package folder is a mailbox as people use it: its folders, what lies in them, what is
// written and sent from it, and whether it is used here or in the groupware.
//
// It takes what doors want done in one mailbox (Box), and has it kept by store.Folders
// and, where a message comes into being, by intake. It promises:
//
//   - Who changed something sees the change in the next look, on this node at once.
//   - A watcher is woken after every change of its mailbox: by mail that came, by other
//     doors of this node at once, and by other nodes some seconds later.
//   - A sent mail is kept with all its deliveries and with its copy in the folder of sent
//     mail in one commit, and the same Outgoing.Key never sends twice.
//   - A draft that is saved again is there before the one that it replaces is removed: a
//     crash leaves both and never none.
//   - Mail that a scanner has not seen, or that does harm, is listed and never opened.
//
// It never asks who may do something: doors ask package account. It never makes a message
// itself and never talks to a next server.
package folder
