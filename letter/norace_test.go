//go:build !race

package letter

// raced is by how much the race detector makes everything slower and larger: it is not on.
const raced = 1
