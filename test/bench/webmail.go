package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"doppelboden/test/peer"
)

// What people at work are measured with.
const (
	webPeople  = 200
	webMails   = 50              // in every mailbox at the beginning
	webMinutes = 2               // how long they work, in a whole run
	webThink   = 4 * time.Second // on average between two clicks; a clerk reads longer
)

// atWork measures how long people wait who list, open, search and reply in webmail.
func (b *bench) atWork(ctx context.Context) error {
	if !b.node {
		return nil
	}
	r := b.t.add(row{name: fmt.Sprintf("%d people in webmail: 95 %% of answers within", webPeople), unit: "ms", want: 150, atMost: true})
	boxes, err := peer.Numbered(ctx, "w@"+domain, webPeople)
	if err != nil {
		return err
	}
	return b.withReaders(ctx, boxes, func(n *node, _ string) error {
		page, err := n.pages(ctx)
		if err != nil {
			return err
		}
		for range max(1, webMails/b.scale) {
			src := peer.Source{Addr: n.Addr(), Sessions: connections, Messages: webPeople, Size: 4096, From: sender, To: "w@" + domain, Number: true}
			if _, err := src.Run(ctx); err != nil {
				return err
			}
		}
		w := &webWork{page: page, boxes: boxes, took: map[string][]time.Duration{}}
		if err := w.run(ctx, webMinutes*time.Minute/time.Duration(b.scale)); err != nil {
			return err
		}
		var all []time.Duration
		for kind, list := range w.took {
			all = append(all, list...)
			b.t.note("webmail, %s: %d answers, half within %.0f ms, 95 %% within %.0f ms", kind, len(list), ms(quantile(list, .5)), ms(quantile(list, .95)))
		}
		r.note(ourSystem, ms(quantile(all, .95)))
		return nil
	})
}

// pages returns where the node's pages are.
func (n *node) pages(ctx context.Context) (string, error) {
	out, err := n.run(ctx, "--node", n.config(), "status", "--json")
	var status struct{ Listeners map[string]string }
	// It ends with 1 as well: there is an outage, and an alarm about it.
	if bad := json.Unmarshal(out, &status); bad != nil || status.Listeners["web"] == "" {
		return "", errors.Join(err, bad, errors.New("the node does not say where its pages are"))
	}
	return "https://" + status.Listeners["web"], nil
}

// Log-ins of people who all come at once, each with a browser of her own.
const (
	logInPeople  = 400    // each once: what was verified a moment ago is not hashed again
	logInCity    = 20_000 // of the large round
	logInAtOnce  = 40
	logInsWanted = 20_000.0 / 600 // 20,000 people in ten minutes
)

// logIns measures how many people log in with their password in a second, each for the first
// time.
func (b *bench) logIns(ctx context.Context) error { return b.logInsOf(ctx, logInPeople) }

func (b *bench) logInsOf(ctx context.Context, people int) error {
	if !b.node {
		return nil
	}
	r := b.t.add(row{name: fmt.Sprintf("%d log-ins with a password, %d at once", people, logInAtOnce), unit: "log-ins/s", want: logInsWanted})
	boxes, err := peer.Numbered(ctx, "w@"+domain, people)
	if err != nil {
		return err
	}
	return b.withReaders(ctx, boxes, func(n *node, _ string) error {
		page, err := n.pages(ctx)
		if err != nil {
			return err
		}
		w := &webWork{page: page, boxes: boxes, took: map[string][]time.Duration{}}
		begun := time.Now()
		errs := make([]error, logInAtOnce)
		done := make([]int, logInAtOnce)
		var all sync.WaitGroup
		for i := range logInAtOnce {
			all.Go(func() {
				for k := i; errs[i] == nil && k < len(boxes); k += logInAtOnce {
					var c *clerk
					if c, errs[i] = w.clerk(boxes[k]); errs[i] == nil {
						errs[i] = c.logIn(ctx)
						c.http.CloseIdleConnections()
						done[i]++
					}
				}
			})
		}
		all.Wait()
		took := time.Since(begun)
		if err := errors.Join(errs...); err != nil {
			return err
		}
		total := 0
		for _, k := range done {
			total += k
		}
		r.note(ourSystem, float64(total)/took.Seconds())
		peak, err := peakOf(n.pid())
		b.t.note("%d log-ins took %v; the node had %.0f MB at most.", total, took.Round(time.Second), peak)
		return err
	})
}

// quantile returns the time within which a share of a list lies.
func quantile(list []time.Duration, share float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// A webWork is many people at work.
type webWork struct {
	page  string
	boxes []string

	mu   sync.Mutex
	took map[string][]time.Duration // by what they did
}

// run logs everybody in and has them work for a while. The log-ins are not counted: what
// they cost is the price of hashing.
func (w *webWork) run(ctx context.Context, length time.Duration) error {
	people := make([]*clerk, len(w.boxes))
	for i, box := range w.boxes {
		var err error
		if people[i], err = w.clerk(box); err != nil {
			return err
		}
		if err := people[i].logIn(ctx); err != nil {
			return fmt.Errorf("log in as %s: %w", box, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	errs := make([]error, len(people))
	var all sync.WaitGroup
	for i, p := range people {
		all.Go(func() { errs[i] = p.keepWorking(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// A clerk is one of them.
type clerk struct {
	work *webWork
	box  string
	base string // "/m/12"
	http *http.Client
}

// clerk returns somebody with a new browser.
func (w *webWork) clerk(box string) (*clerk, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &clerk{work: w, box: box, http: &http.Client{Jar: jar, Timeout: time.Minute,
		Transport: &http.Transport{TLSClientConfig: clientTLS(), ForceAttemptHTTP2: true}}}, nil
}

var (
	tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)
	keyField   = regexp.MustCompile(`name="key" value="([^"]+)"`)
	mailLink   = regexp.MustCompile(`href="(/m/\d+/f/1/(\d+\.\w+))"`)
)

func first(r *regexp.Regexp, page string) string {
	if m := r.FindStringSubmatch(page); m != nil {
		return m[1]
	}
	return ""
}

// ask loads a page, or sends a form, and returns where it ended and what it says.
func (c *clerk) ask(ctx context.Context, kind, path string, form url.Values) (at, page string, err error) {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, c.work.page+path, body)
	if err != nil {
		return "", "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	start := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		return "", "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	took := time.Since(start)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	if err == nil && kind != "" {
		c.work.mu.Lock()
		c.work.took[kind] = append(c.work.took[kind], took)
		c.work.mu.Unlock()
	}
	return res.Request.URL.Path, string(text), err
}

func (c *clerk) logIn(ctx context.Context) error {
	_, page, err := c.ask(ctx, "", "/login", nil)
	if err != nil {
		return err
	}
	if _, _, err = c.ask(ctx, "", "/login", url.Values{"token": {first(tokenField, page)}, "user": {c.box}, "password": {imapPassword}}); err != nil {
		return err
	}
	at, _, err := c.ask(ctx, "", "/", nil)
	if err != nil {
		return err
	}
	base, _, ok := strings.Cut(at, "/f/")
	if !ok {
		return fmt.Errorf("the log-in ends at %s", at)
	}
	c.base = base
	return nil
}

// keepWorking works until ctx ends.
func (c *clerk) keepWorking(ctx context.Context) error {
	for {
		pause := time.NewTimer(time.Duration(rand.Int64N(int64(2 * webThink))))
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
		if err := c.act(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// act does what a clerk does most often.
func (c *clerk) act(ctx context.Context) error {
	dice := rand.IntN(100)
	if dice < 15 {
		_, _, err := c.ask(ctx, "search", c.base+"/search?q=postfix", nil)
		return err
	}
	_, list, err := c.ask(ctx, "list", c.base+"/f/1", nil)
	if err != nil || dice < 45 {
		return err
	}
	mails := mailLink.FindAllStringSubmatch(list, -1)
	if len(mails) == 0 {
		return errors.New("the list is empty")
	}
	mail := mails[rand.IntN(len(mails))]
	if _, _, err := c.ask(ctx, "open", mail[1], nil); err != nil || dice < 85 {
		return err
	}
	_, page, err := c.ask(ctx, "reply", c.base+"/compose?reply=1."+mail[2], nil)
	if err != nil {
		return err
	}
	_, _, err = c.ask(ctx, "send", c.base+"/compose", url.Values{"token": {first(tokenField, page)}, "key": {first(keyField, page)},
		"do": {"send"}, "source": {"reply.1." + mail[2]}, "to": {c.work.boxes[rand.IntN(len(c.work.boxes))]}, "subject": {"Re: Anfrage"}, "text": {strings.Repeat("Guten Tag, das geht in Ordnung.\n", 10)}})
	return err
}
