// Package letter reads one mail as a stranger wrote it, and shows it safely.
//
// It takes the bytes of a mail and gives back its parts, its text, a summary for lists,
// and HTML that can be put into a sandboxed frame. It promises that no mail makes it fail,
// that time and memory are bounded by Limits, and that what was left out is named in Left.
// Names, subjects and file names that leave it hold no control characters and nothing
// that turns the direction of text. It never opens an archive, fetches anything, or
// believes what a mail says about itself.
package letter
