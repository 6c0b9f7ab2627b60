package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// ErrUnreachable says that no supervisor answers.
var ErrUnreachable = errors.New("no supervisor answers")

// Client asks a supervisor. It may be used concurrently.
type Client struct {
	http http.Client
}

// NewClient returns a client that reaches the control socket by dial.
func NewClient(dial func(ctx context.Context) (net.Conn, error)) *Client {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}
	return &Client{http.Client{Transport: transport}}
}

// Status returns what the supervisor does at this moment.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.ask(ctx, http.MethodGet, "/v1/status", &s)
	return s, err
}

// Reload asks for a deploy and returns its id.
func (c *Client) Reload(ctx context.Context) (id string, err error) {
	var r Requested
	err = c.ask(ctx, http.MethodPost, "/v1/reload", &r)
	return r.ID, err
}

// Follow calls each with every step of a deploy, from the first, until its
// verdict, and returns the deploy then.
func (c *Client) Follow(ctx context.Context, id string, each func(Step)) (Deploy, error) {
	body, err := c.open(ctx, http.MethodGet, "/v1/deploys/"+id+"/steps")
	if err != nil {
		return Deploy{}, err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var s Step
		if err := lines.Decode(&s); err != nil {
			return Deploy{}, fmt.Errorf("follow deploy %s: the supervisor ended before the verdict: %w", id, err)
		}
		each(s)
		if s.Deploy != nil && s.Deploy.Verdict != Pending {
			return *s.Deploy, nil
		}
	}
}

func (c *Client) ask(ctx context.Context, method, path string, into any) error {
	body, err := c.open(ctx, method, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("read the supervisor's answer: %w", err)
	}
	return nil
}

// open sends a request and returns the body of an answer that does not refuse.
func (c *Client) open(ctx context.Context, method, path string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, op.Err)
		}
		return nil, fmt.Errorf("ask the supervisor: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var p problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Error == "" {
		return nil, fmt.Errorf("the supervisor answers %s", resp.Status)
	}
	return nil, errors.New(p.Error)
}
