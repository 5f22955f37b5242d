// Package browser holds the tests of pages: Chromium drives a real node as people do, on
// a desk and on a telephone, with scripts and without. drive.mjs does what the tests say.
package browser
