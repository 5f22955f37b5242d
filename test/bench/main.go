// Command bench measures Doppelboden beside Postfix on the same machine, the same disk
// and in the same run, one round of the one after one round of the other, and prints
// medians and ratios.
//
// It takes a built binary and a folder on the disk to be measured. It promises that both
// get the same mails for the same recipients from the same generator, that neither
// runs while the other is measured, and that whatever it started has ended when it ends.
// It exits with 1 when a target is missed.
//
//	make bench                      the whole, up to 30 minutes
//	make bench BENCH_QUICK=1        one short round of everything
//	go run ./test/bench -only relay -rounds 3
//	go run ./test/bench -only 'postgres|append|rebuilt'
//	go run ./test/bench -large -only handback     all 20,000 mailboxes, 25 minutes
//	make bench-large BENCH_FLAGS=-postgres
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"doppelboden/test/peer"
)

// config is what the command line says.
type config struct {
	binary string         // the built doppelboden
	dir    string         // folder on the disk to be measured
	rounds int            // of each measure, for each system
	scale  int            // mails are divided by it
	part   int            // mailboxes are divided by it where all of them take long
	idle   time.Duration  // how long the idle node is watched
	only   *regexp.Regexp // which measures
	node   bool           // false: Postfix alone, for as long as there is no node
	boxes  int            // mailboxes of the city
	keep   bool           // leave the nodes' folders for a look
	// postgres has the node of the large round work with PostgreSQL.
	postgres bool
}

// domain is the city of the benches.
const domain = "bench.example"

// fewestBoxes is how many mailboxes every measure has enough of.
const fewestBoxes = 1000

func main() {
	boxes := flag.Int("mailboxes", 20_000, "mailboxes of the city")
	large := flag.Bool("large", false, "the round of 20,000 log-ins, a rebuilt groupware and the way back of 20,000 mailboxes, 200,000 queued and 1,000,000 stored (-only logins, rebuilt, handback, queued)")
	quick := flag.Bool("quick", os.Getenv("BENCH_QUICK") == "1", "one short round")
	binary := flag.String("binary", "bin/doppelboden", "the node to be measured")
	dir := flag.String("dir", os.Getenv("BENCH_DIR"), "folder on the disk to be measured (BENCH_DIR)")
	rounds := flag.Int("rounds", 5, "rounds of each measure")
	only := flag.String("only", "", "regular expression of the measures to run")
	node := flag.Bool("node", true, "false: measure Postfix alone")
	keep := flag.Bool("keep", false, "leave the nodes' folders")
	postgres := flag.Bool("postgres", false, "with -large: the node works with PostgreSQL")
	flag.Parse()

	match, err := regexp.Compile(*only)
	if err != nil {
		fail(fmt.Errorf("read -only: %w", err))
	}
	c := &config{binary: *binary, dir: *dir, rounds: *rounds, scale: 1, part: 10, idle: time.Minute, only: match, node: *node, boxes: *boxes, keep: *keep, postgres: *postgres}
	if *quick {
		c.rounds, c.scale, c.idle = 1, 10, 10*time.Second
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.prepare(); err != nil {
		fail(err)
	}
	t := &table{}
	if *large {
		c.part = 1
		err = runLarge(ctx, c, t)
	} else {
		err = runAll(ctx, c, t)
	}
	t.print(os.Stdout)
	if err != nil {
		fail(err)
	}
	if t.missed() {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(4)
}

// prepare checks that what is to be measured can be measured.
func (c *config) prepare() error {
	if err := peer.Missing(peer.PostfixProgram, peer.SourceProgram, peer.SinkProgram); err != nil {
		return err
	}
	if c.boxes < fewestBoxes {
		return fmt.Errorf("%d mailboxes are too few, at least %d", c.boxes, fewestBoxes)
	}
	if c.dir == "" {
		c.dir = "/var/tmp"
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(c.dir, &fs); err != nil {
		return fmt.Errorf("look at the disk of %s: %w", c.dir, err)
	}
	const tmpfs = 0x01021994 // TMPFS_MAGIC of statfs(2)
	if fs.Type == tmpfs {
		return fmt.Errorf("%s lies in memory, and fsync costs nothing there; set BENCH_DIR to a folder on a disk", c.dir)
	}
	var err error
	if c.binary, err = filepath.Abs(c.binary); err != nil {
		return fmt.Errorf("find binary: %w", err)
	}
	if _, err := os.Stat(c.binary); err != nil && c.node {
		return fmt.Errorf("find binary (make build): %w", err)
	}
	return nil
}

// progress tells people what goes on.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}
