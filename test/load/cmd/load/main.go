// Command load sends realistic mail to a server and says what it answered.
//
//	load -addr 127.0.0.1:2525 -domain demo.example -boxes anna,bert -messages 1000
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"doppelboden/test/load"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(4)
	}
}

func run() error {
	addr := flag.String("addr", "127.0.0.1:2525", "host:port of the server")
	domain := flag.String("domain", "demo.example", "domain of the recipients")
	boxes := flag.String("boxes", "postmaster", "local parts of the recipients, with commas between")
	messages := flag.Int("messages", 1000, "how many mails at most")
	duration := flag.Duration("duration", time.Minute, "for how long at most")
	connections := flag.Int("connections", 20, "connections kept open")
	seed := flag.Uint64("seed", 1, "the same seed makes the same mails")
	size := flag.Int("size", 0, "octets of equal mails instead of realistic ones")
	records := flag.Bool("records", false, "print one JSON object for each mail")
	flag.Parse()

	var to []string
	for _, local := range strings.Split(*boxes, ",") {
		to = append(to, local+"@"+*domain)
	}
	o := load.Options{Addr: *addr, Messages: *messages, Duration: *duration, Connections: *connections,
		Source: load.NewCorpus(load.CorpusOptions{Seed: *seed, Recipients: to})}
	if *size > 0 {
		o.Source = load.NewFixed(fmt.Sprint(*seed), "load@fremd.example", to, *size)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	report, err := load.Run(ctx, o)
	if *records {
		out := json.NewEncoder(os.Stdout)
		for _, r := range report.Records {
			if err := out.Encode(r); err != nil {
				return fmt.Errorf("print record: %w", err)
			}
		}
	}
	octets := 0
	for _, r := range report.Records {
		octets += r.Size
	}
	fmt.Fprintf(os.Stderr, "%d mails (%.1f MB) in %v: %d acknowledged, %.0f/s, final dot to 250: p50 %v, p99 %v\n",
		len(report.Records), float64(octets)/1e6, report.Elapsed.Round(time.Millisecond), len(report.Acked()), report.Rate(),
		report.Latency(0.5).Round(10*time.Microsecond), report.Latency(0.99).Round(10*time.Microsecond))
	return err
}
