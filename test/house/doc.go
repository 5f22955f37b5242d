// Package house holds the test that imports go downwards only. It has no code of its own.
package house
