package main

import (
	"errors"
	"fmt"
	"strings"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/say"
)

// A usageError is a mistake in the command itself.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(text string) error { return &usageError{text} }

// report tells err to the person, with what to do about it, and returns the exit code.
func (p *program) report(err error) int {
	var wrong *usageError
	var mistakes city.Mistakes
	var no *control.Refusal
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNo):
		return 1
	case errors.As(err, &wrong), !p.started:
		p.complain(err.Error(), p.say.T("doppelboden --help lists the commands, doppelboden COMMAND --help their options."))
		return 2
	case errors.As(err, &mistakes):
		for _, m := range mistakes {
			fmt.Fprintln(p.err, m.In(func(t city.Text) string { return p.say.Known(t.Key, t.Args...) }))
		}
		fmt.Fprintln(p.err, p.say.T("%d mistakes, nothing was changed.", len(mistakes)))
		return 1
	case errors.As(err, &no):
		fmt.Fprintln(p.err, "doppelboden: "+say.Plain(p.say.Known(no.Text.Key, no.Text.Args...)))
		return 1
	case errors.Is(err, control.ErrUnreachable):
		p.complain(err.Error(), p.say.T("Is it running? Start it with: doppelboden serve --node %s", say.Plain(p.node)))
		return 3
	}
	switch doppelboden.CodeOf(err) {
	case doppelboden.Invalid, doppelboden.NotFound:
		p.complain(doppelboden.PublicOf(err), "")
		return 1
	}
	p.complain(err.Error(), "")
	return 4
}

// complain writes what is wrong and what to do.
func (p *program) complain(what, remedy string) {
	// An error's first words are ours; what follows a colon may be the system's.
	first, rest, more := strings.Cut(what, ": ")
	if known := p.say.Known(what); known != what || !more {
		first = known
	} else {
		first = p.say.Known(first) + ": " + rest
	}
	fmt.Fprintln(p.err, "doppelboden: "+say.Plain(first))
	if remedy != "" {
		fmt.Fprintln(p.err, remedy)
	}
}
