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
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// ErrUnreachable says that no supervisor answers.
var ErrUnreachable = errors.New("no supervisor answers")

// Refusal is a supervisor's no.
type Refusal struct {
	Status int // of HTTP
	Text   string
}

func (r *Refusal) Error() string { return r.Text }

// Mistake reports whether it was asked wrongly.
func (r *Refusal) Mistake() bool {
	return r.Status == http.StatusBadRequest || r.Status == http.StatusNotFound
}

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
	err := c.ask(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Describe returns everything about a program.
func (c *Client) Describe(ctx context.Context, program string) (Description, error) {
	var d Description
	err := c.ask(ctx, http.MethodGet, programPath(program, ""), nil, &d)
	return d, err
}

// Environment returns the variables of a program's serving worker; with their
// values only to who may change things.
func (c *Client) Environment(ctx context.Context, program string, values bool) (Environment, error) {
	method := http.MethodGet
	if values {
		method = http.MethodPost
	}
	var e Environment
	err := c.ask(ctx, method, programPath(program, "/env"), nil, &e)
	return e, err
}

// Metrics writes what Prometheus would be told.
func (c *Client) Metrics(ctx context.Context, to io.Writer) error {
	body, err := c.open(ctx, http.MethodGet, "/v1/metrics", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(to, body); err != nil {
		return fmt.Errorf("read the metrics: %w", err)
	}
	return nil
}

// Deploy asks for deploys and returns at once.
func (c *Client) Deploy(ctx context.Context, r DeployRequest) (Requested, error) {
	var requested Requested
	err := c.ask(ctx, http.MethodPost, "/v1/reload", r, &requested)
	return requested, err
}

// Operate does op to a program and returns when it is done.
func (c *Client) Operate(ctx context.Context, program string, op Operation) (Done, error) {
	var d Done
	err := c.ask(ctx, http.MethodPost, programPath(program, "/"+string(op)), nil, &d)
	return d, err
}

// Add adds a program and starts it.
func (c *Client) Add(ctx context.Context, p NewProgram) (Done, error) {
	var d Done
	err := c.ask(ctx, http.MethodPost, "/v1/programs", p, &d)
	return d, err
}

// Signal sends a signal to a program's serving worker.
func (c *Client) Signal(ctx context.Context, program, signal string) (Done, error) {
	var d Done
	err := c.ask(ctx, http.MethodPost, programPath(program, "/signal"), SignalRequest{signal}, &d)
	return d, err
}

// Scale makes so many instances of a program run.
func (c *Client) Scale(ctx context.Context, program string, instances int) (Done, error) {
	var d Done
	err := c.ask(ctx, http.MethodPost, programPath(program, "/scale"), ScaleRequest{instances}, &d)
	return d, err
}

func programPath(name, rest string) string { return "/v1/programs/" + url.PathEscape(name) + rest }

// Logs calls each with every line that is asked for until the supervisor ends,
// each fails, or there are no more.
func (c *Client) Logs(ctx context.Context, q LogQuery, each func(logs.Line) error) error {
	body, err := c.open(ctx, http.MethodGet, "/v1/logs?"+q.values().Encode(), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var l logs.Line
		switch err := lines.Decode(&l); {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("read the logs: %w", err)
		}
		if err := each(l); err != nil {
			return err
		}
	}
}

// reconnectFor is how long a deploy is followed without a supervisor that
// answers: one that has crashed is started again within seconds, or never.
const reconnectFor = 15 * time.Second

// Follow calls each with every step of a deploy, from the first, until its
// verdict, and returns the deploy then. It goes on where it was with a supervisor
// that takes over meanwhile.
func (c *Client) Follow(ctx context.Context, id string, each func(Step)) (Deploy, error) {
	told := 0
	lost := time.Time{} // when the supervisor was lost; zero while there is one
	for {
		d, err := c.followOn(ctx, id, &told, func() { lost = time.Time{} }, each)
		var no *Refusal
		if err == nil || errors.As(err, &no) || ctx.Err() != nil || told == 0 && errors.Is(err, ErrUnreachable) {
			return d, err
		}
		if lost.IsZero() {
			lost = time.Now()
		}
		if time.Since(lost) > reconnectFor {
			return d, fmt.Errorf("follow deploy %s: the supervisor ended before the verdict: %w", id, err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return d, context.Cause(ctx)
		}
	}
}

// followOn is Follow with one supervisor, from the step after those that have
// been told. A verdict is always told: it may be all that a later one knows.
func (c *Client) followOn(ctx context.Context, id string, told *int, there func(), each func(Step)) (Deploy, error) {
	body, err := c.open(ctx, http.MethodGet, "/v1/deploys/"+url.PathEscape(id)+"/steps", nil)
	if err != nil {
		return Deploy{}, err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for n := 1; ; n++ {
		var s Step
		if err := lines.Decode(&s); err != nil {
			return Deploy{}, err
		}
		there()
		over := s.Deploy != nil && s.Deploy.Verdict != Pending
		if n > *told || over {
			each(s)
			*told = max(n, *told)
		}
		if over {
			return *s.Deploy, nil
		}
	}
}

func (c *Client) ask(ctx context.Context, method, path string, send, into any) error {
	body, err := c.open(ctx, method, path, send)
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
func (c *Client) open(ctx context.Context, method, path string, send any) (io.ReadCloser, error) {
	var content bytes.Buffer
	if send != nil {
		if err := json.NewEncoder(&content).Encode(send); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, &content)
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
	return nil, &Refusal{resp.StatusCode, p.Error}
}
