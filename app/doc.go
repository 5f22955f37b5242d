// Package app builds a node from its parts and runs it.
//
// It takes the node's configuration and gives a running node: New opens what lies on
// the disk, Start opens the doors, Stop closes them and waits for everything that was
// started. It holds no rule about mail; it only connects rooms with each other. There
// are no globals in it, so two nodes fit into one test.
package app
