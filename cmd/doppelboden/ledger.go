package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"doppelboden/ledger"
	"doppelboden/say"
)

func (p *program) ledgerCommand() *cobra.Command {
	return p.group("ledger", p.say.T("verify and export the ledger"), p.ledgerVerify(), p.ledgerExport())
}

func (p *program) ledgerVerify() *cobra.Command {
	var export, key string
	c := p.command("verify [--export FILE --key FILE]", p.say.T("compute all chains and knots again; exit code 1 if anything was changed"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			r, err := p.verify(ctx, export, key)
			if err != nil {
				return err
			}
			if p.json {
				err = p.object(r)
			} else {
				p.verified(r)
			}
			if err == nil && !r.OK() {
				err = errNo
			}
			return err
		})
	c.Flags().StringVar(&export, "export", "", p.say.T("a `file` of ledger export, which is verified here, without a node"))
	c.Flags().StringVar(&key, "key", "", p.say.T("the `file` keys/ledger.pub of the node that wrote the export"))
	return c
}

// verify has the node verify its ledger, or verifies an export here.
func (p *program) verify(ctx context.Context, export, key string) (ledger.Report, error) {
	switch {
	case export == "" && key == "":
		client, err := p.client()
		if err != nil {
			return ledger.Report{}, err
		}
		return client.VerifyLedger(ctx)
	case export == "" || key == "":
		return ledger.Report{}, usage(p.say.T("write: %s", "doppelboden ledger verify --export FILE --key FILE"))
	}
	public, err := ledger.LoadPublicKey(key)
	if err != nil {
		return ledger.Report{}, err
	}
	f, err := os.Open(export)
	if err != nil {
		return ledger.Report{}, fmt.Errorf("read the export: %w", err)
	}
	defer f.Close()
	return ledger.VerifyExport(f, public)
}

// verified says what a verification saw.
func (p *program) verified(r ledger.Report) {
	p.print(p.say.T("chains %d, links %d, entries %d, knots %d, exported knots %d", r.Chains, r.Links, r.Entries, r.Knots, r.Files))
	if r.Expired > 0 {
		p.print(p.say.T("links whose entries retention has removed: %d", r.Expired))
	}
	if r.Untied > 0 {
		p.print(p.say.T("links after the last knot, which nothing proves yet: %d, since %s", r.Untied, p.clock(r.UntiedSince)))
	}
	for _, f := range r.Findings {
		p.print("! " + p.fault(f))
	}
	if r.OK() {
		p.print(p.say.T("Nothing was changed."))
	} else {
		p.print(p.say.T("Faults: %d. The ledger is not as it was written.", r.Faults))
	}
}

func (p *program) fault(f ledger.Fault) string {
	what := say.Plain(f.What)
	switch f.About {
	case "link":
		return p.say.T("link %s of chain %s: %s", strconv.FormatInt(f.Number, 10), say.Plain(f.Chain), what)
	case "knot":
		return p.say.T("knot %s: %s", strconv.FormatInt(f.Number, 10), what)
	}
	return p.say.T("file %s: %s", say.Plain(f.File), what)
}

func (p *program) ledgerExport() *cobra.Command {
	var from, to, out string
	c := p.command("export [--from TIME --to TIME] [--out FILE]", p.say.T("write the ledger as JSON lines that can be verified without this node"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			f, t, err := p.period(from, to)
			if err != nil {
				return err
			}
			if out == "-" {
				return client.ExportLedger(ctx, f, t, p.out)
			}
			return toFile(out, func(w io.Writer) error { return client.ExportLedger(ctx, f, t, w) })
		})
	p.periodFlags(c, &from, &to)
	c.Flags().StringVar(&out, "out", "-", p.say.T("a new `file`; - is standard output"))
	return c
}

// toFile writes a new file; a half-written one is removed.
func toFile(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the file: %w", err)
	}
	err = write(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(name)
	}
	return err
}
