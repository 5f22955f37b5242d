package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc; USER_HZ has been 100 on Linux for ever.
const clockTick = 10 * time.Millisecond

// cpuOf returns the processor time that a process has used, and its children that have
// ended: proc(5).
func cpuOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 15 {
		return 0, fmt.Errorf("read processor time: %d fields", len(f))
	}
	var ticks int64
	for _, s := range f[11:15] { // utime, stime, cutime and cstime, fields 14 to 17
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// worked returns the processor time that the processes of a system have used, and those
// that they have started.
func worked(sys interface{ Processes() ([]int, error) }) (time.Duration, error) {
	pids, err := sys.Processes()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range pids {
		used, err := cpuOf(pid)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// residentOf returns the resident memory of a process now, in MB.
func residentOf(pid int) (float64, error) { return statusOf(pid, "VmRSS:") }

// peakOf returns the largest resident memory that a process has had, in MB.
func peakOf(pid int) (float64, error) { return statusOf(pid, "VmHWM:") }

func statusOf(pid int, key string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == key {
			kb, err := strconv.ParseFloat(f[1], 64)
			return kb * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("read memory: no %s", key)
}
