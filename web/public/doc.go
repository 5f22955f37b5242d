// Package public has the pages that anybody may open: what became of a mail that somebody
// sent to the city, by the receipt number that the sender's server got with the 250.
//
// It takes a number and gives back one state. It promises that nothing else can be learned
// from it: not for whom the mail was, not when it came, not what became of it in one mailbox
// rather than another; and that a number nobody has and one that has expired look the same.
// Who guesses is slowed down, although 80 random bits are beyond guessing.
//
// It never reads a mail, and never writes a number into a log.
package public
