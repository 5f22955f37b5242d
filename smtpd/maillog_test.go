package smtpd

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
)

// oneOfEach plays a mail that is kept, one that is refused, one that is dropped.
func oneOfEach(t *testing.T, level slog.Level) (log string, bag *mailbag, registry *prometheus.Registry) {
	t.Helper()
	var out bytes.Buffer
	registry, bag = prometheus.NewRegistry(), newBag()
	bag.rcpt = func(r Recipient) error {
		if r.Address.Local == "nobody" {
			return fails(doppelboden.NoSuchMailbox, "nobody@city.example is unknown")
		}
		return nil
	}
	l := newPipeListener()
	s := newServer(t, Options{Intake: bag, Registry: registry,
		Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))})
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), l) }()
	d := talk(t, l.dial())
	d.ask("EHLO evil]verdict=kept", "501")
	d.ask("EHLO sender.example", "250-")
	d.ask("MAIL FROM:<anna@sender.example>", "250")
	d.ask("RCPT TO:<nobody@city.example>", "550")
	d.ask("RCPT TO:<b@city.example>", "250")
	d.ask("DATA", "354")
	d.ask("x\r\n.", "250")
	d.mail()
	d.ask("x\x00\r\n.", "550")
	d.ask("MAIL FROM:<anna@sender.example>", "250")
	d.ask("QUIT", "221")
	d.ended()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-served
	return out.String(), bag, registry
}

func TestEachTransactionHasOneLineWithoutAddresses(t *testing.T) {
	log, bag, _ := oneOfEach(t, slog.LevelInfo)
	lines := strings.Split(strings.TrimSpace(log), "\n")
	want := []string{
		"receipt=" + bag.parcels()[0].receipt.String() + " message=01000000-0000-0000-0000-000000000000 " +
			"verdict=kept proto=ESMTP size_bytes=3 recipients=1 recipients_refused=1",
		"verdict=bad_message proto=ESMTP size_bytes=4 recipients=1 recipients_refused=0",
		"verdict=reset proto=ESMTP size_bytes=0 recipients=0 recipients_refused=0",
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, wanted %d:\n%s", len(lines), len(want), log)
	}
	for i := range want {
		if !strings.HasSuffix(lines[i], "msg=transaction "+want[i]) {
			t.Errorf("line %q, wanted it to end in %q", lines[i], want[i])
		}
	}
	if strings.Contains(log, "@") || strings.Contains(log, "sender.example") {
		t.Errorf("an address is in the log above debug:\n%s", log)
	}
	if debug, _, _ := oneOfEach(t, slog.LevelDebug); !strings.Contains(debug, "helo=sender.example") || !isSecret(debug) {
		t.Errorf("at debug, wanted the client's name and the cause of refusals:\n%s", debug)
	}
}

func TestMetricsCountWithoutAddresses(t *testing.T) {
	_, _, registry := oneOfEach(t, slog.LevelError)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := strings.TrimPrefix(f.GetName(), "doppelboden_smtpd_")
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for key, want := range map[string]float64{
		"connections_open": 0, "connections_total served": 1, "connections_total too_many": 0,
		"transactions_total kept": 1, "transactions_total bad_message": 1, "transactions_total reset": 1,
		"recipients_total taken": 2, "recipients_total no_such_mailbox": 1,
		"kept_bytes_total": 3, "answer_seconds": 1, "unacknowledged_total": 0,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s is %v, wanted %v", key, v, want)
		}
	}
	for key := range got {
		if strings.ContainsAny(key, "@<>") || strings.Contains(key, "example") {
			t.Errorf("metric %q names somebody", key)
		}
	}
	if _, err := NewServer(Options{Intake: newBag(), Hostname: "x", Registry: registry}); err == nil {
		t.Error("a second server took the same names for its metrics")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Intake: newBag(), Hostname: "mx.city.example"}
	for what, change := range map[string]func(*Options){
		"Intake":      func(o *Options) { o.Intake = nil },
		"Hostname":    func(o *Options) { o.Hostname = "mx\r\n250 evil" },
		"MaxSize":     func(o *Options) { o.MaxSize = -1 },
		"IdleTimeout": func(o *Options) { o.IdleTimeout = -1 },
	} {
		o := good
		change(&o)
		if _, err := NewServer(o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("with a wrong %s: %v, wanted an error that names it", what, err)
		}
	}
	if _, err := NewServer(good); err != nil {
		t.Errorf("with good options: %v", err)
	}
}

func TestAPanicCostsOneConnection(t *testing.T) {
	var out bytes.Buffer
	bag := newBag()
	bag.rcpt = func(Recipient) error { panic("a bug") }
	l := newPipeListener()
	s := newServer(t, Options{Intake: bag, Log: slog.New(slog.NewTextHandler(&out, nil))})
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), l) }()
	d := talk(t, l.dial())
	d.ask("EHLO x", "250-")
	d.ask("MAIL FROM:<>", "250")
	d.ask("RCPT TO:<b@city.example>", "421 4.3.0")
	d.ended()
	talk(t, l.dial()).ask("EHLO x", "250-")
	s.Shutdown(t.Context())
	<-served
	if log := out.String(); bag.aborted != 1 || !strings.Contains(log, "a bug") || !strings.Contains(log, "maillog_test.go") {
		t.Errorf("aborted %d, wanted 1, and the stack in the log:\n%s", bag.aborted, log)
	}
}
