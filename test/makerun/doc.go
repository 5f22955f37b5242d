// Package makerun tests what a new user types first: make run, and the line that it
// prints for a first mail.
package makerun
