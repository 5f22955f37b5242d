package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// ErrUnreachable says that no node answers at the socket.
var ErrUnreachable = errors.New("the node cannot be reached")

// A Client asks a running node.
type Client struct {
	http     *http.Client
	progress func(Progress)
}

// NewClient returns a client for the node with this data folder. progress is told how
// far long commands are; it may be nil.
func NewClient(data string, progress func(Progress)) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		path, dir, err := socketPath(data)
		if err != nil {
			return nil, err
		}
		if dir != nil {
			defer dir.Close()
		}
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	return &Client{progress: progress, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// ask sends a request and reads its answer into result; items go to yield, which may be
// nil. The error is ErrUnreachable, what the server said, or that of yield.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body []byte, yield func(json.RawMessage) error, result any) error {
	u := url.URL{Scheme: "http", Host: "node", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("the node answered %s: %s", resp.Status, bytes.TrimSpace(text))
	}
	dec := json.NewDecoder(resp.Body)
	for {
		var l line
		if err := dec.Decode(&l); err != nil {
			return fmt.Errorf("%w: its answer ended too early: %w", ErrUnreachable, err)
		}
		switch {
		case l.Error != nil:
			return l.Error.err()
		case l.Result != nil:
			if err := json.Unmarshal(l.Result, result); err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
			return nil
		case l.Progress != nil:
			c.progress(*l.Progress)
		case l.Item != nil && yield != nil:
			if err := yield(l.Item); err != nil {
				return err
			}
		}
	}
}

// each decodes items for a typed yield.
func each[T any](yield func(T) error) func(json.RawMessage) error {
	return func(text json.RawMessage) error {
		var v T
		if err := json.Unmarshal(text, &v); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		return yield(v)
	}
}
