package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTheCommandsOfTheNightAreWhatTheProgramTakes runs each command that the README has for
// 3 a.m., where there is no node: none may be wrong usage.
func TestTheCommandsOfTheNightAreWhatTheProgramTakes(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, night, _ := strings.Cut(string(text), "\nAt 3 a.m.:\n")
	night, _, _ = strings.Cut(night, "\nAll commands are in ")
	fill := strings.NewReplacer(" RECEIPT", " 01J0000000000000000000000A", " ADDRESS", " anna@a.de", " D ", " works ", " FILE", " "+filepath.Join(t.TempDir(), "sheets.pdf"),
		" ROUTE", " gw", " N", " 1", " T", " 2026-11-23T03:00:00Z")
	commands := regexp.MustCompile("`doppelboden ([^`]+)`").FindAllStringSubmatch(night, -1)
	if len(commands) < 10 {
		t.Fatalf("the README has %d commands for the night", len(commands))
	}
	for _, c := range commands {
		var said bytes.Buffer
		code := execute(t.Context(), strings.Fields(fill.Replace(c[1])), world{in: strings.NewReader(""), out: &said, err: &said, now: time.Now,
			getenv: func(name string) string {
				return map[string]string{"LANG": "en", "DOPPELBODEN_NODE": filepath.Join(t.TempDir(), "node.toml")}[name]
			}})
		if code == 2 {
			t.Errorf("doppelboden %s: exit code %d: %s", c[1], code, said.String())
		}
	}
}
