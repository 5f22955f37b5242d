package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:generate go test -run TestTheCommandReferenceIsUpToDate -update

var update = flag.Bool("update", false, "write the references again")

const referenceFile = "../../docs/commands.md"

func TestTheCommandReferenceIsUpToDate(t *testing.T) {
	want := reference(quietProgram("en"))
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/commands.md is stale; run go generate ./cmd/doppelboden (-program +file):\n%s", diff)
	}
}

// quietProgram builds the commands in a language, for looking at them.
func quietProgram(lang string) *program {
	return newProgram(world{in: strings.NewReader(""), out: io.Discard, err: io.Discard, now: time.Now,
		getenv: func(name string) string { return map[string]string{"LANG": lang}[name] }})
}

// reference describes all commands.
func reference(p *program) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nWritten by `go generate ./cmd/doppelboden`; change the program instead.\n\n")
	b.WriteString(p.root.Short + "\n\n")
	b.WriteString("Options of all commands:\n\n")
	options(&b, p.root.PersistentFlags())
	b.WriteString("\nExit codes: 0 good, 1 the answer is \"no\", 2 wrong usage, 3 the node can't be reached, 4 failed.\n")
	for _, c := range p.root.Commands() {
		describe(&b, c)
	}
	return b.String()
}

func describe(b *strings.Builder, c *cobra.Command) {
	if c.Hidden {
		return
	}
	if !c.HasSubCommands() || c.Use != c.Name() { // others only have commands below them
		describeOne(b, c)
	}
	for _, sub := range c.Commands() {
		describe(b, sub)
	}
}

func describeOne(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n`%s`\n\n%s\n", strings.TrimPrefix(c.CommandPath(), "doppelboden "), c.UseLine(), sentence(c.Short))
	var flags strings.Builder
	options(&flags, c.LocalFlags())
	if flags.Len() > 0 {
		b.WriteString("\n" + flags.String())
	}
}

func options(b *strings.Builder, flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		name, text := pflag.UnquoteUsage(f)
		fmt.Fprintf(b, "- `--%s`: %s", strings.TrimSpace(f.Name+" "+name), text)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			fmt.Fprintf(b, " (default `%s`)", f.DefValue)
		}
		b.WriteString("\n")
	})
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }
