// Package demo plays one outage on this machine and tells it in words as it happens: a
// node takes mail for a groupware, the groupware dies, mail goes on coming in and waits,
// the node itself is killed in the middle of it and comes back, the groupware returns,
// everything is handed over, and the books are balanced.
//
// It takes the program's own file, starts it as a node in a temporary folder, and is
// the strangers and the groupware itself. It promises to call the play good only when
// the difference is 0 and the groupware has every mail that was acknowledged, and to
// leave nothing behind. It uses no network beyond this machine.
package demo
