package courier

import (
	"context"
	"time"

	"doppelboden"
)

const (
	// probeStep bounds each step of a probe, and probePatience the whole of it. They are
	// shorter than what a hand-over waits: a route without mail must be known to be dead
	// within 30 seconds, and that takes more than one probe.
	probeStep     = 5 * time.Second
	probePatience = 8 * time.Second
)

// Probe asks whether a route's next server would talk to us. It connects to all hosts at
// once, waits for the greeting, says EHLO or LHLO, with TLS and log-in as the route wants
// them, and QUIT; nothing about any mail. The verdict is Took when at least one host got as
// far as that, else Later, with what the most talkative one said.
func Probe(ctx context.Context, o Options, r Route) doppelboden.Outcome {
	o.Deadlines = Deadlines{Connect: probeStep, Greeting: probeStep, Helo: probeStep}
	o = o.withDefaults()
	within, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	answers := make(chan doppelboden.Outcome, len(r.Hosts))
	for _, h := range r.Hosts {
		one := r
		one.Hosts = []Host{h}
		go func() { answers <- probe(within, o, one) }()
	}
	best := doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRoute, Phase: phaseConnect, At: o.Clock(),
		Reply: doppelboden.Reply{Text: "the route has no host"}}
	for i := range r.Hosts {
		got := <-answers
		switch {
		case best.Verdict == doppelboden.Took:
		case got.Verdict == doppelboden.Took:
			best = got
			cancel() // the others are not waited for
		case i == 0 || best.Reply.Code == 0 && got.Reply.Code != 0:
			best = got
		}
	}
	if best.Reply.Text == errCancelled.Error() && ctx.Err() == nil {
		best.Reply.Text = "no answer in time"
	}
	return best
}

// probe is Probe for a route with one host.
func probe(ctx context.Context, o Options, r Route) doppelboden.Outcome {
	a := NewAgent(o, r)
	defer a.Close()
	release := a.guard.watch(ctx)
	defer release()
	_, fault := a.connect(ctx)
	out := doppelboden.Outcome{Verdict: doppelboden.Took, Scope: doppelboden.AboutRoute, Phase: phaseHelo, Server: r.Hosts[0].Addr, At: o.Clock()}
	if fault != nil {
		out.Verdict, out.Phase, out.Reply, out.Server = doppelboden.Later, fault.verdict.phase, fault.verdict.reply, fault.server
	}
	return out
}
