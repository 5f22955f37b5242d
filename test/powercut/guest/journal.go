package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"doppelboden/test/powercut/wire"
)

type entry struct {
	ID   int
	Done string
	From string
	To   []string
	Data []byte
}

type journal struct {
	mu      sync.Mutex
	f       *os.File
	l       net.Listener
	weak    wire.Weakness
	next    string
	id      int
	open    map[int]*entry
	waiting int64
	handed  int64
}

func startNode(ctx context.Context, next string, weak wire.Weakness) (node, error) {
	f, err := os.OpenFile(filepath.Join(disk, "journal"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	d, _ := os.Open(disk)
	d.Sync()
	j := &journal{f: f, weak: weak, next: next, open: map[int]*entry{}}
	r := bufio.NewReader(f)
	var off int64
	for {
		var n int64
		var sum uint32
		if _, err := fmt.Fscanf(r, "%d %d\n", &n, &sum); err != nil {
			break
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			break
		}
		var e entry
		if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&e); err != nil {
			break
		}
		off += int64(len(fmt.Sprintf("%d %d\n", n, sum))) + n
		if e.Done != "" {
			o := j.open[e.ID]
			if o == nil {
				return nil, errors.New("done without entry")
			}
			j.drop(o, e.Done)
		} else {
			j.open[e.ID] = &e
			j.waiting += int64(len(e.To))
		}
		j.id = e.ID
	}
	f.Truncate(off)
	f.Seek(off, 0)
	j.l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	old := j.open
	j.open = map[int]*entry{}
	go func() {
		for _, e := range old {
			j.hand(e)
		}
	}()
	go func() {
		for {
			c, err := j.l.Accept()
			if err != nil {
				return
			}
			go j.serve(c)
		}
	}()
	return j, nil
}

func (j *journal) drop(o *entry, to string) {
	for i, t := range o.To {
		if t == to {
			o.To = append(o.To[:i:i], o.To[i+1:]...)
			j.waiting--
			j.handed++
			break
		}
	}
	if len(o.To) == 0 {
		delete(j.open, o.ID)
	}
}

func (j *journal) hand(e *entry) {
	for _, to := range append([]string(nil), e.To...) {
		if err := smtp.SendMail(j.next, nil, e.From, []string{to}, e.Data); err != nil {
			fmt.Println("hand:", err)
			return
		}
		j.keep(&entry{ID: e.ID, Done: to})
		j.mu.Lock()
		j.drop(e, to)
		j.mu.Unlock()
	}
}

func (j *journal) keep(e *entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Done == "" {
		j.id++
		e.ID = j.id
		j.waiting += int64(len(e.To))
	}
	var b bytes.Buffer
	gob.NewEncoder(&b).Encode(e)
	fmt.Fprintf(j.f, "%d %d\n%s", b.Len(), 0, b.Bytes())
	if j.weak != wire.NoSynchronous {
		if err := j.f.Sync(); err != nil {
			panic(err)
		}
	}
}

func (j *journal) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	fmt.Fprint(c, "220 hi\r\n")
	var e *entry
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.TrimSpace(line)); {
		case strings.HasPrefix(verb, "MAIL"):
			e = &entry{From: path(line)}
		case strings.HasPrefix(verb, "RCPT"):
			e.To = append(e.To, path(line))
		case verb == "DATA":
			fmt.Fprint(c, "354 go\r\n")
			for {
				line, err := r.ReadBytes('\n')
				if err != nil {
					return
				}
				if string(line) == ".\r\n" {
					break
				}
				e.Data = append(e.Data, bytes.TrimPrefix(line, []byte("."))...)
			}
			j.keep(e)
			go j.hand(e)
		}
		fmt.Fprint(c, "250 ok\r\n")
	}
}

func (j *journal) Addr() string { return j.l.Addr().String() }
func (j *journal) Waiting(context.Context) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.waiting, nil
}
func (j *journal) Balance(context.Context) (string, error) {
	return fmt.Sprintf("{\"delivered\":%d}", j.handed), nil
}
func (j *journal) Stop(context.Context) error { j.l.Close(); return j.f.Close() }
