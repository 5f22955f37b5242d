package browser

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"doppelboden/sink"
	"doppelboden/test/peer"
)

// program is the path of the program under test, built by TestMain.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "doppelboden-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "doppelboden")
	build := exec.Command("go", "build", "-o", program, "doppelboden/cmd/doppelboden")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// A city is an installation whose groupware does not answer, with its node.
type city struct {
	t    *testing.T
	dir  string
	mx   string
	page string // https://localhost:PORT
	node *exec.Cmd
	log  bytes.Buffer
	sent int
}

const ada, bea, office = "ada.muster@stadt.example", "bea.beispiel@stadt.example", "buergerbuero@stadt.example"

// found makes an installation with two people who share the mailbox of an office.
func found(t *testing.T) *city {
	t.Helper()
	c := &city{t: t, dir: filepath.Join(t.TempDir(), "city")}
	dead, err := peer.FreePort() // nobody listens there
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for range 2 {
		at, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, at[strings.LastIndexByte(at, ':')+1:])
	}
	c.mx, c.page = "127.0.0.1:"+ports[0], "https://localhost:"+ports[1]
	c.must("init", c.dir, "--domain", "stadt.example", "--groupware", "lmtp://"+dead, "--dns", "none",
		"--mx-port", ports[0], "--submission-port", "0", "--web-port", ports[1], "--imaps-port", "0", "--metrics-port", "0")
	internet, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { internet.Close() })
	town, err := os.OpenFile(filepath.Join(c.dir, "city.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(town, "\n[tenant.internet]\nrelay = [\"smtp://%s\"]\ntls = \"off\"\n", internet.Addr())
	if err := errors.Join(err, town.Close()); err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(c.dir, "node.toml")
	text, err := os.ReadFile(node)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(node, bytes.Replace(text, []byte("min_free_mb = 1024"), []byte("min_free_mb = 16"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start()
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Logf("the node says: %s", c.log.String())
		}
	})
	c.must("mailbox", "add", "postmaster@stadt.example", "--name", "Poststelle")
	c.must("mailbox", "add", ada, "--name", "Ada Muster", "--department", "Bauamt")
	c.must("mailbox", "add", bea, "--name", "Bea Beispiel", "--department", "Standesamt")
	c.must("mailbox", "add", office, "--name", "Bürgerbüro", "--kind", "function", "--member", ada, "--member", bea)
	c.must("mailbox", "add", "alle@stadt.example", "--name", "Alle im Haus", "--kind", "list", "--member", ada, "--member", bea)
	return c
}

// start starts the node and waits until it is ready.
func (c *city) start() {
	c.t.Helper()
	c.node = exec.Command(program, "serve", "--json", "--node", filepath.Join(c.dir, "node.toml"))
	c.node.Stderr = &c.log
	out, err := c.node.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.node.Start(); err != nil {
		c.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"ready"`) {
			go func() {
				for lines.Scan() { // so that it never waits for us
				}
			}()
			return
		}
	}
	c.t.Fatalf("the node did not become ready: %s", c.log.String())
}

// kill ends the node as a power cut does.
func (c *city) kill() {
	if c.node == nil {
		return
	}
	_ = c.node.Process.Kill()
	_ = c.node.Wait()
	c.node = nil
}

// must runs a command and returns what it printed.
func (c *city) must(args ...string) string {
	c.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "DOPPELBODEN_NODE="+filepath.Join(c.dir, "node.toml"), "LANG=de_DE.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("doppelboden %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// mail sends a mail from the Internet. text is the whole mail with LF line ends.
func (c *city) mail(to, text string) {
	c.t.Helper()
	client, err := smtp.Dial(c.mx)
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	if err := client.Mail("eva.stern@example.org"); err != nil {
		c.t.Fatal(err)
	}
	if err := client.Rcpt(to); err != nil {
		c.t.Fatal(err)
	}
	w, err := client.Data()
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		c.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// letter is a simple mail.
func (c *city) letter(to, from, subject, text string) {
	c.t.Helper()
	c.sent++
	c.mail(to, fmt.Sprintf("From: %s\nTo: <%s>\nSubject: %s\nMessage-ID: <%d@example.org>\nDate: %s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n%s\n",
		from, to, subject, c.sent, time.Now().Format(time.RFC1123Z), text))
}

var codeLine = regexp.MustCompile(`(?m)^\s*([0-9A-Z]{3} [0-9A-Z]{3} [0-9A-Z]{3})\s*$`)

// code prints the sheet of a person and reads the code from it, as she does.
func (c *city) code(person string) string {
	c.t.Helper()
	sheet := filepath.Join(c.t.TempDir(), "sheet.pdf")
	c.must("account", "codes", "--person", person, "--pdf", sheet)
	text, err := exec.Command("pdftotext", "-layout", sheet, "-").Output()
	if err != nil {
		c.t.Fatal(err)
	}
	found := codeLine.FindAllSubmatch(text, -1)
	if len(found) != 2 {
		c.t.Fatalf("no code on the sheet: %s", text)
	}
	return string(found[0][1]) + " " + string(found[1][1])
}

const password = "drei kleine wörter"

// enrol goes from the sheet to the mailbox.
func (c *city) enrol(b *Browser, person string) {
	c.t.Helper()
	code := c.code(person)
	b.Open(c.page + "/")
	b.Go(`a[href="/enrol"]`)
	b.Fill("#code", code)
	b.Go("main button.main")
	b.Fill("#password", password)
	b.Fill("#again", password)
	b.Go("main button.main")
	if strings.Contains(b.URL(), "/enrol/second") {
		b.Go("main a.plain") // later
	}
	if !strings.Contains(b.URL(), "/f/1") {
		c.t.Fatalf("after enrolling the page is %s: %s", b.URL(), b.Text("body"))
	}
}

// outage waits until the node knows that the groupware is gone.
func (c *city) outage() {
	c.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !strings.Contains(c.must("event", "list", "--json"), `"number":1`) {
		if time.Now().After(deadline) {
			c.t.Fatalf("no outage within a minute: %s", c.must("event", "list", "--json"))
		}
		wait := time.NewTimer(200 * time.Millisecond)
		<-wait.C
	}
}
