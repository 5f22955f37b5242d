//go:build race

package letter

// raced is by how much the race detector makes everything slower and larger, generously.
const raced = 10
