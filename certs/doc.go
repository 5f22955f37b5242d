// Package certs holds the certificate that all doors of a node show.
//
// It takes a certificate and its key from files, and reads them anew when they change, so
// that nobody has to restart a node in a year. Where the configuration says so, it has one
// made by a certificate authority (ACME, RFC 8555) and renewed in time; until that has
// worked it shows the one in the files, with which at least servers encrypt. It promises
// that a door always has a certificate, that a new one which cannot be used replaces none,
// and that somebody hears of a certificate two weeks before it ends.
//
// It never asks for a certificate of another name than the node's own.
package certs
