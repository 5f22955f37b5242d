// Package scenario plays what happens to cities on real processes: the built program,
// real groupware, kill -9, full disks. Its tests read as the story they tell.
package scenario
