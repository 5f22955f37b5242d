// Command powercut proves with a real machine's power that a 250 means kept.
//
//	make powercut            ten cuts under load; the figures go to last.json
//	make powercut PROVE=1    breaks three promises on purpose, each until the proof
//	                         turns red; the figures go to proved.json
//	go test ./test/powercut  three cuts, and one disk that lies
//
// # What happens
//
// A virtual machine (qemu, without KVM, so that it runs everywhere) boots Debian's
// kernel, taken out of its package without installing it, with our own program as its
// only process. That program starts a node on an ext4 disk, and senders and a groupware
// beside it. The disk is served by package nbd: it has a volatile cache of 64 MiB, and
// a FLUSH takes it 0.5 to 4 ms.
//
// The first boot sets the node up and shuts down in good order. From then on, at a
// random moment of the load, the disk loses its power: with a random request, so that a
// cut falls between any two steps of a commit. It takes and answers nothing more, the
// machine is killed a moment later, and of what was written since the last flush a
// random part survives: sector by sector, by 4 KiB, by request, in order, or nothing at
// all, with requests torn in the middle and older versions of a sector outliving newer
// ones. Then e2fsck -p runs, as at every boot of a Debian, and the same disk boots
// again. The node must start, hand over everything that waits, and draw its balance;
// after that the next load begins, and the next cut. One boot in five is cut while it
// still hands over what the last one has left.
//
// # What is asserted
//
// The host keeps its own book, outside the machine. Every letter follows from its
// number (package letter), so the groupware can compare every byte.
//   - Acknowledged and missing: 0. A letter counts as acknowledged when its 250 was
//     read before the cut, and as found when it has come to all its mailboxes.
//   - A letter comes to a mailbox twice only when a cut fell before the first time was
//     settled: before the next letter came there, and before the node said that nothing
//     was left.
//   - Within a mailbox no letter overtakes one that was acknowledged before it was sent,
//     over any number of cuts.
//   - A letter whose 250 nobody read comes to all of its mailboxes or to none.
//   - The node's balance sheet has the difference 0, and knows as many deliveries as
//     the groupware has seen.
//   - After the last boot's shutdown in good order, e2fsck finds no fault.
//
// # That it can turn red
//
// With PROVE=1 the same run is played with SQLite's synchronous=OFF, with ext4 mounted
// with barrier=0, and with a disk attached with cache=unsafe. A proof that stays green
// then is worth nothing, and says so by its exit code.
//
// # What it needs
//
// qemu-system-x86_64, e2fsprogs, apt-get and dpkg-deb on a Debian for amd64; 1 GiB of
// memory; about 10 s for a cut. Everything random follows from -seed, except for the
// guest's own timing: the same seed loses the same sectors only of the same writes.
//
// It never mounts a disk on the host, never writes outside of -cache and a folder for
// sockets, and kills no process but the qemu it has started.
package main
