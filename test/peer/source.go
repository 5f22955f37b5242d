package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Source is Postfix's smtp-source: it sends equal mails as fast as the server takes
// them. It ends with an error at the first answer that is not 2xx or 3xx.
type Source struct {
	Addr       string // host:port to send to
	LMTP       bool   // speak LMTP instead of SMTP
	Sessions   int    // connections at once, each kept for many mails
	Messages   int    // mails in all
	Size       int    // octets of a body, without the headers
	Recipients int    // for each mail; 0: one
	From       string // reverse-path
	To         string // recipient; Number puts a number before it
	// Number makes recipients differ, over all sessions, without ever repeating: for
	// u@d, Postfix 3.7 counts 1u@d, 2u@d, …; 3.10 counts u0@d, u1@d, … (see Numbered).
	Number bool
}

// Run sends everything and returns how long that took, from the first connection to the
// last answer.
func (o Source) Run(ctx context.Context) (time.Duration, error) {
	args := []string{"-d", "-s", strconv.Itoa(o.Sessions), "-m", strconv.Itoa(o.Messages),
		"-l", strconv.Itoa(o.Size), "-f", o.From, "-t", o.To}
	if o.LMTP {
		args = append(args, "-L")
	}
	if o.Number {
		args = append(args, "-N")
	}
	if o.Recipients > 1 {
		args = append(args, "-r", strconv.Itoa(o.Recipients))
	}
	start := time.Now()
	_, err := run(ctx, SourceProgram, append(args, o.Addr)...)
	return time.Since(start), err
}

// Numbered returns the first n recipients that a Source with Number and this To sends
// to. It asks the installed smtp-source by letting it send one mail.
func Numbered(ctx context.Context, to string, n int) (names []string, err error) {
	dir, err := newDir("", "numbers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil { // smtp-sink writes as nobody
		return nil, fmt.Errorf("open folder: %w", err)
	}
	sink, err := Sink{Args: []string{"-d", dir + "/mail."}}.Start()
	if err != nil {
		return nil, err
	}
	_, err = Source{Addr: sink.Addr(), Sessions: 1, Messages: 1, Size: 100, From: "a@b.example", To: to, Number: true}.Run(ctx)
	if err = errors.Join(err, sink.Wait(1, startLimit), sink.Stop()); err != nil {
		return nil, fmt.Errorf("learn how smtp-source counts: %w", err)
	}
	files, err := filepath.Glob(dir + "/mail.*")
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("learn how smtp-source counts: %d dumps (%v)", len(files), err)
	}
	dump, err := os.ReadFile(files[0])
	if err != nil {
		return nil, fmt.Errorf("learn how smtp-source counts: %w", err)
	}
	local, domain, _ := strings.Cut(to, "@")
	name := func(i int) string { return fmt.Sprintf("%d%s@%s", i+1, local, domain) } // Postfix 3.7
	if bytes.Contains(dump, fmt.Appendf(nil, "<%s0@%s>", local, domain)) {           // 3.10
		name = func(i int) string { return fmt.Sprintf("%s%d@%s", local, i, domain) }
	}
	if !bytes.Contains(dump, []byte("<"+name(0)+">")) {
		return nil, fmt.Errorf("smtp-source counts in a way we don't know:\n%s", dump)
	}
	for i := range n {
		names = append(names, name(i))
	}
	return names, nil
}

// Swaks is one mail sent by swaks, as an administrator would to try a server.
type Swaks struct {
	Addr string   // host:port to send to
	LMTP bool     // speak LMTP instead of SMTP
	From string   // reverse-path
	To   []string // recipients
	Data []byte   // the mail, with LF as line ends; swaks makes CRLF of it and doubles dots; nil: its own
	Args []string // more options of swaks, such as "--tls"
}

// Run sends it and returns the conversation; the error is not nil when the server did
// not take the mail.
func (o Swaks) Run(ctx context.Context) (string, error) {
	protocol := "ESMTP"
	if o.LMTP {
		protocol = "LMTP"
	}
	args := []string{"--server", o.Addr, "--protocol", protocol, "--from", o.From,
		"--to", strings.Join(o.To, ",")}
	if o.Data != nil {
		dir, err := newDir("", "swaks")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(dir)
		// swaks ends the mail with a line end of its own.
		if err := os.WriteFile(dir+"/mail", bytes.TrimSuffix(o.Data, []byte("\n")), 0o600); err != nil {
			return "", fmt.Errorf("write mail for swaks: %w", err)
		}
		args = append(args, "--data", "@"+dir+"/mail")
	}
	out, err := run(ctx, SwaksProgram, append(args, o.Args...)...)
	return string(out), err
}
