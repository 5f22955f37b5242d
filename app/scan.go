package app

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/intake"
	"doppelboden/queue"
	"doppelboden/scan"
)

// scanning is what looks for malware and spam.
type scanning struct {
	station *scan.Station
	again   *scan.Again
}

// openScanning makes the scanners known. They are asked when there is mail.
func (n *Node) openScanning() error {
	s := &scanning{}
	var err error
	s.station, err = scan.NewStation(scan.Options{
		Hostname: n.opts.Node.Hostname, Log: n.log, Registry: n.registry, Clock: n.clock,
		Back: func() { s.again.Back() },
	})
	if err != nil {
		return err
	}
	s.again, err = scan.NewAgain(scan.AgainOptions{
		Station: s.station, Store: n.store, Bodies: n.bodies, Queue: admitted{n.house}, Log: n.log, Clock: n.clock,
	})
	if err != nil {
		return err
	}
	n.scanning = s
	return s.follow(n.house.Directory())
}

// follow takes over what a configuration says about scanning.
func (s *scanning) follow(d *city.Directory) error {
	plans := map[doppelboden.TenantID]*scan.Plan{}
	for _, t := range d.City().Tenants {
		id, ok := d.TenantNamed(t.Name)
		if !ok {
			continue
		}
		p := &scan.Plan{
			Rspamd: t.Scan.Rspamd, ClamAV: t.Scan.ClamAV, Deadline: t.Scan.Deadline,
			RefuseMalware: t.Scan.RefuseMalware, RejectScore: t.Scan.RejectScore,
			Patience: t.Scan.Patience, Fresh: t.Scan.Fresh,
		}
		if t.Scan.Wait {
			p.Patience = -1
		}
		plans[id] = p
	}
	if err := s.station.Configure(plans); err != nil {
		return fmt.Errorf("take over the scanners: %w", err)
	}
	s.again.Wake()
	return nil
}

// admitted tells the queue what became of mail that waited for scanners. The queue is
// there before anything is scanned again.
type admitted struct{ h *house }

// Admitted implements scan.Queue.
func (a admitted) Admitted(m *doppelboden.Message) { a.h.queue.Admitted(m) }

// Quarantine implements scan.Queue.
func (a admitted) Quarantine(ctx context.Context, id doppelboden.ID, why string) error {
	return a.h.queue.Quarantine(ctx, id, why)
}

// A gate lets through what was scanned. It implements queue.Gate.
type gate struct{ again *scan.Again }

// Admit implements queue.Gate.
func (g gate) Admit(ctx context.Context, m *doppelboden.Message) queue.Ruling {
	return queue.Ruling(g.again.Admit(ctx, m))
}

// A scanCheck shows mail to the scanners before it is kept. It implements intake.Check.
type scanCheck struct{ station *scan.Station }

// Check implements intake.Check.
func (c scanCheck) Check(ctx context.Context, in *intake.Incoming) (intake.Finding, error) {
	e, m := &in.Envelope, in.Message
	if c.station.Plan(m.Tenant) == nil {
		return intake.Finding{}, nil // the tenant has no scanners
	}
	mail := &scan.Mail{
		ID: m.ID.String(), Peer: e.Peer, PeerName: e.PeerName, Helo: e.Helo, Sender: e.Sender.String(),
		Size: in.Size, Open: in.Open,
		// A trusted hop would return what is refused to a sender who may be forged.
		MustTake: e.Hop != nil,
	}
	if e.Own != nil {
		mail.User = e.Own.Name
	}
	for i := range m.Deliveries {
		mail.Recipients = append(mail.Recipients, m.Deliveries[i].Recipient.String())
	}
	j, err := c.station.Door(ctx, m.Tenant, mail)
	return intake.Finding{Prefix: j.Prefix, Scan: j.State, Hold: j.Hold}, err
}

// scannerDown is how long a scanner may be away before that is an alarm: clamd needs up
// to a minute to load its signatures.
const scannerDown = 90 * time.Second

// unscannedFor is how long mail may wait for scanners before that is an alarm.
const unscannedFor = 10 * time.Minute

// scanners tells of scanners that do not work, and of mail that waits for them.
func (w *watcher) scanners(ctx context.Context, wrong alarms) {
	now := w.n.clock()
	for _, s := range w.n.scanning.station.Status() {
		if !s.Up && now.Sub(s.Since) >= scannerDown {
			wrong[alarmKey{"scanner", s.Address}] = doppelboden.Tell("The scanner %s at %s has not worked since %s. Mail is taken and waits until it was scanned, or until the time is over that city.toml sets. Look at the scanner and start it again.", s.Kind, s.Address, s.Since)
		}
		if s.TooLarge > 0 {
			wrong[alarmKey{"scanner-size", s.Address}] = tooLarge(s)
		}
	}
	if w.n.db.dead() {
		return // an alarm tells it
	}
	counts, err := w.n.store.UnscannedCounts(ctx)
	if err != nil {
		w.n.log.Error("mail that waits for scanners cannot be counted", "err", err)
		return
	}
	d := w.n.house.Directory()
	for _, c := range counts {
		p := w.n.scanning.station.Plan(c.Tenant)
		if p == nil || now.Sub(c.Oldest) < unscannedFor {
			continue
		}
		said := doppelboden.Tell("Mail of %s waits to be scanned, the oldest since %s. It is safe.", d.TenantName(c.Tenant), c.Oldest)
		if p.Patience >= 0 {
			said = said.And(doppelboden.Tell("After %s it is handed over with a mark.", p.Patience))
		}
		said = said.And(doppelboden.Tell("Look at the scanners: doppelboden status"))
		wrong[alarmKey{"unscanned", d.TenantName(c.Tenant)}] = said
	}
}

// tooLarge says what is to be done about a scanner that takes only small mail.
func tooLarge(s scan.Status) doppelboden.Telling {
	remedy := "max_message (options.inc)"
	if s.Kind == scan.ClamAV {
		remedy = "StreamMaxLength, MaxFileSize, MaxScanSize (clamd.conf)"
	}
	return doppelboden.Tell("The scanner %s at %s refused a mail of %s MB as too large. Such mail waits although the scanner works. Raise in its configuration: %s", s.Kind, s.Address, (s.TooLarge+1<<20-1)>>20, remedy)
}
