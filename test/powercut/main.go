package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// Exit codes: 0 every promise was kept (or, with -prove, every weakness was found), 1 not
// so, 2 wrong usage, 4 the proof could not be played.
const (
	exitRed    = 1
	exitUsage  = 2
	exitFailed = 4
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command runs the program and returns its exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	weak := os.Getenv("PROVE") == "1" // make powercut PROVE=1
	flags := flag.NewFlagSet("powercut", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		cuts  = flags.Int("cuts", 10, "how often the power is cut; with -prove, at most for each weakness")
		seed  = flags.Uint64("seed", rand.Uint64N(1_000_000), "of everything random")
		prove = flags.Bool("prove", weak, "break promises on purpose and see that each is found")
		accel = flags.String("accel", "tcg", "how qemu computes: tcg works everywhere, kvm is faster where it works")
		cache = flags.String("cache", "var/powercut", "folder for the kernel and the disk")
		out   = flags.String("out", "test/powercut", "folder for the figures: last.json, or with -prove proved.json")
	)
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	rig, clean, err := newRig(ctx, *cache, *accel)
	if err != nil {
		fmt.Fprintln(stderr, "powercut:", err)
		return exitFailed
	}
	play, name := playTrue, "last.json"
	if *prove {
		play, name = playWeak, "proved.json"
	}
	result, green, err := play(ctx, rig, *seed, *cuts, stdout)
	if err = errors.Join(err, clean()); err == nil {
		err = writeResult(filepath.Join(*out, name), result)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "powercut:", err)
		return exitFailed
	case !green:
		return exitRed
	}
	return 0
}
