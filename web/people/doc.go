// Package people is the door through which people come in: logging in, enrolling with a
// code, what they log in with, heads who vouch for their people, and who is ready.
//
// It takes what people type and gives it to account, which decides; it shows nothing of
// mailboxes. It promises that a code never stands in a URL that a browser sends, that
// nobody is led to another site after the log-in, and that names of people who could not
// log in are shown to the heads of their department and to administrators alone.
package people
