package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/say"
	"doppelboden/setup"
)

// A program is one run of the command line.
type program struct {
	world
	say     *say.Printer
	root    *cobra.Command
	node    string // --node
	json    bool   // --json
	started bool   // whether a command has begun; before that an error is wrong usage
	shown   bool   // whether progress stands in the last line of standard error
}

// newProgram builds all commands.
func newProgram(w world) *program {
	p := &program{world: w, say: say.FromEnv(w.getenv)}
	p.root = &cobra.Command{
		Use:   "doppelboden",
		Short: p.say.T("Keeps a city's mail while its groupware is down, hands it over, and accounts for it."),
		Args:  p.exactly(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	p.root.SetIn(w.in)
	p.root.SetOut(w.out)
	p.root.SetErr(w.err)
	p.root.SetUsageTemplate(p.usageTemplate())
	p.root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usage(p.say.T("wrong option: %s", err.Error()))
	})
	p.root.SetHelpCommand(&cobra.Command{Hidden: true})
	flags := p.root.PersistentFlags()
	flags.StringVar(&p.node, "node", "", p.say.T("the node's `file` node.toml; or the variable DOPPELBODEN_NODE"))
	flags.BoolVar(&p.json, "json", false, p.say.T("answer in JSON: one object, or one a line for lists"))
	p.root.AddCommand(
		p.initCommand(), p.serveCommand(), p.sendCommand(), p.mailboxCommand(), p.statusCommand(),
		p.queueCommand(), p.messageCommand(), p.balanceCommand(), p.ledgerCommand(), p.configCommand(),
		p.tenantCommand(), p.routeCommand(), p.eventCommand(),
		p.accountCommand(), p.senderCommand(), p.keyCommand(), p.backupCommand(), p.restoreCommand(), p.salvageCommand(), p.readbackCommand(), p.replayCommand(), p.sinkCommand(), p.demoCommand(),
	)
	p.helpFlags(p.root)
	return p
}

// exactly makes sure that a command is given so many arguments.
func (p *program) exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) > n && n == 0:
			return usage(p.say.T("%s is not known here", say.Plain(args[0])))
		case len(args) != n:
			return usage(p.say.T("write: %s", c.Parent().CommandPath()+" "+c.Use))
		}
		return nil
	}
}

// atMost makes sure that a command is given no more than so many arguments.
func (p *program) atMost(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n {
			return usage(p.say.T("write: %s", c.Parent().CommandPath()+" "+c.Use))
		}
		return nil
	}
}

// require makes sure that flags are given.
func (p *program) require(c *cobra.Command, names ...string) {
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		for _, name := range names {
			if !c.Flags().Changed(name) {
				return usage(p.say.T("%s is needed", "--"+name))
			}
		}
		return nil
	}
}

// usageTemplate is cobra's, in the language of the rest.
func (p *program) usageTemplate() string {
	return p.say.T("Usage:") + `
  {{if or (not .HasAvailableSubCommands) (ne .Use .Name)}}{{.UseLine}}{{else}}{{.CommandPath}} …

` + p.say.T("Commands:") + `{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

` + p.say.T("Options:") + `
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

` + p.say.T("Options of all commands:") + `
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`
}

// helpFlags gives every command its help flag in the language of the rest.
func (p *program) helpFlags(c *cobra.Command) {
	c.Flags().BoolP("help", "h", false, p.say.T("say what the command does"))
	for _, sub := range c.Commands() {
		p.helpFlags(sub)
	}
}

// command makes a command that runs do.
func (p *program) command(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args, DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			p.started = true
			return do(cmd.Context(), args)
		},
	}
}

// group makes a command that only has others below it.
func (p *program) group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: p.exactly(0),
		RunE: func(*cobra.Command, []string) error {
			return usage(p.say.T("say which: %s", subNames(subs)))
		}}
	c.AddCommand(subs...)
	return c
}

func subNames(subs []*cobra.Command) string {
	names := make([]string, len(subs))
	for i, s := range subs {
		names[i] = s.Name()
	}
	return strings.Join(names, ", ")
}

// loadNode reads the node.toml that --node or DOPPELBODEN_NODE names.
func (p *program) loadNode() (*city.Node, error) {
	if p.node == "" {
		p.node = p.getenv("DOPPELBODEN_NODE")
	}
	if p.node == "" {
		return nil, usage(p.say.T("which node? Write --node FILE, or set DOPPELBODEN_NODE"))
	}
	return setup.ReadNode(p.node)
}

// client returns a client of the running node.
func (p *program) client() (*control.Client, error) {
	n, err := p.loadNode()
	if err != nil {
		return nil, err
	}
	return control.NewClient(n.Data, p.progress), nil
}

// progress shows how far a long command is, in one line of standard error.
func (p *program) progress(now control.Progress) {
	if p.json || !terminal(p.err) {
		return
	}
	p.shown = true
	fmt.Fprintf(p.err, "\r%s", p.say.T("%s: %d …", p.step(now.Step), now.Done))
}

// terminal reports whether somebody looks at w while it is written.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// step names what is counted.
func (p *program) step(word string) string {
	switch word {
	case "files":
		return p.say.T("exported knots")
	case "knots":
		return p.say.T("knots")
	case "links":
		return p.say.T("links")
	case "doors":
		return p.say.T("what the doors logged")
	case "rows":
		return p.say.T("deliveries")
	case "replies":
		return p.say.T("what the next servers answered")
	case "deliveries":
		return p.say.T("deliveries")
	case "mailboxes":
		return p.say.T("mailboxes")
	case "bytes":
		return p.say.T("MB read")
	case "database":
		return p.say.T("database")
	case "bodies":
		return p.say.T("bodies of mails")
	case "landed":
		return p.say.T("mails in the landing that wait for the database")
	case "body keys":
		return p.say.T("keys of mails wrapped again")
	}
	return say.Plain(word)
}

// quiet ends the line of progress.
func (p *program) quiet() {
	if p.shown {
		fmt.Fprint(p.err, "\r\033[K")
		p.shown = false
	}
}

// print writes a line for people.
func (p *program) print(text string) {
	p.quiet()
	fmt.Fprintln(p.out, text)
}

// object writes one JSON object.
func (p *program) object(v any) error {
	enc := json.NewEncoder(p.out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// errNo says that the command worked and its answer is no. What is wrong has been
// printed.
var errNo = errors.New("the answer is no")

// execute runs the command line and returns its exit code: 0 good, 1 the answer is no,
// 2 wrong usage, 3 the node can't be reached, 4 failed.
func execute(ctx context.Context, args []string, w world) int {
	p := newProgram(w)
	p.root.SetArgs(args)
	err := p.root.ExecuteContext(ctx)
	p.quiet()
	return p.report(err)
}
