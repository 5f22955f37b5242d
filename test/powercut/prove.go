package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"doppelboden/test/powercut/wire"
)

// A Result is what the repository keeps of the last play.
type Result struct {
	At      string   `json:"at"` // RFC 3339
	Reports []Report `json:"reports"`
}

// playTrue cuts the power of the node as it is. It is green when nothing is missing.
func playTrue(ctx context.Context, rig rig, seed uint64, cuts int, out io.Writer) (Result, bool, error) {
	r := &run{rig: rig, seed: seed, out: out}
	report, err := r.play(ctx, cuts)
	if err != nil {
		return Result{}, false, err
	}
	t := report.Total
	fmt.Fprintf(out, "\n%d cuts in %.0f s (seed %d): acknowledged %d, found %d, missing %d; in flight %d, kept of these %d; doubles %d\n",
		len(report.Cuts), report.Seconds, seed, t.Acknowledged, t.Found, t.Missing, t.InFlight, t.Kept, report.Doubles)
	for _, f := range report.Faults {
		fmt.Fprintln(out, "FAULT:", f)
	}
	return result(report), len(report.Faults) == 0, nil
}

// playWeak breaks one promise after the other and cuts until each is found, at most cuts
// times. It is green when all were found: then a green playTrue means something.
func playWeak(ctx context.Context, rig rig, seed uint64, cuts int, out io.Writer) (Result, bool, error) {
	var reports []Report
	var lines strings.Builder
	green := true
	for _, w := range []wire.Weakness{wire.NoSynchronous, wire.NoBarrier, wire.Unsafe} {
		fmt.Fprintf(out, "\n%s\n", w)
		r := &run{rig: rig, seed: seed, weakness: w, out: out}
		report, err := r.play(ctx, cuts)
		if err != nil {
			return Result{}, false, err
		}
		reports = append(reports, report)
		if len(report.Faults) == 0 {
			green = false
			fmt.Fprintf(&lines, "%s: NOT FOUND in %d cuts\n", w, len(report.Cuts))
			continue
		}
		fmt.Fprintf(&lines, "%s: red after %d cuts: %s\n", w, len(report.Cuts), strings.Join(report.Faults, "; "))
	}
	fmt.Fprintf(out, "\n%s", lines.String())
	return result(reports...), green, nil
}

// result stamps reports.
func result(reports ...Report) Result {
	return Result{At: time.Now().Format(time.RFC3339), Reports: reports}
}

// writeResult puts the figures where the repository keeps them.
func writeResult(path string, r Result) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
