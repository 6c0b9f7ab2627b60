package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

// Options of a trial. All must be given.
type Options struct {
	Supervisor string // executable
	App        string // executable, the chat's
	Clients    int
	Rate       float64       // messages a second
	For        time.Duration // how long people talk, half of it through the reload

	Progress func(line string) // told what happens
}

const (
	chatters = 20
	rooms    = 5

	// upTime is how long the site may take to be up, and its clients to be
	// connected.
	upTime = time.Minute

	// pollEvery is how often the site is asked while something is waited for.
	pollEvery = 5 * time.Millisecond
)

// Run makes the trial. Its error says what could not be done; what clients
// noticed is in the result.
func Run(ctx context.Context, o Options) (Result, error) {
	dir, err := os.MkdirTemp("", "simpletalk-verify-")
	if err != nil {
		return Result{}, fmt.Errorf("folder for the trial: %w", err)
	}
	defer os.RemoveAll(dir)
	s, err := start(ctx, o, dir)
	if err != nil {
		return Result{}, err
	}
	defer s.stop()
	return s.trial(ctx, o)
}

// site is the throwaway site.
type site struct {
	process *process
	client  *control.Client
	addr    string
}

func start(ctx context.Context, o Options, dir string) (*site, error) {
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return nil, err
	}
	p, err := startProcess(o.Supervisor, "run", "--state", state, "--listen", "http=127.0.0.1:0", "--bake", "1s",
		"--", o.App, "serve", "--data", filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	s := &site{process: p, client: control.NewClient(statedir.Dial(state))}
	status, err := s.await(ctx, "the site is up", func(i control.Instance) bool { return i.State == "running" })
	if err != nil {
		s.stop()
		return nil, err
	}
	s.addr = status.Listen[0].Address
	o.Progress("a throwaway site runs at http://" + s.addr)
	return s, nil
}

// stop ends the site with all its workers.
func (s *site) stop() { s.process.end() }

// await waits until cond holds for the site's one instance.
func (s *site) await(ctx context.Context, what string, cond func(control.Instance) bool) (control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, upTime)
	defer cancel()
	for {
		status, err := s.client.Status(ctx)
		if err == nil && cond(status.Programs[0].Instances[0]) {
			return status, nil
		}
		select {
		case <-s.process.ended:
			return status, fmt.Errorf("the trial's supervisor ended before %s: %s", what, s.process.lastLine())
		case <-ctx.Done():
			return status, fmt.Errorf("waited in vain until %s: %w", what, context.Cause(ctx))
		case <-time.After(pollEvery):
		}
	}
}

// trial lets people talk twice: through a reload, and through a kill.
func (s *site) trial(ctx context.Context, o Options) (r Result, err error) {
	r.Reload, err = s.act(ctx, o, "reload", func(a *Act) (err error) {
		a.Deploy, err = s.reload(ctx)
		a.Took = time.Duration(a.Deploy.SwappedMS) * time.Millisecond
		return err
	})
	if err != nil {
		return r, err
	}
	r.Kill, err = s.act(ctx, o, "kill -9", func(a *Act) (err error) {
		a.Took, err = s.kill(ctx)
		return err
	})
	return r, err
}

// act puts the load on the site, and does something to it half-way.
func (s *site) act(ctx context.Context, o Options, name string, do func(*Act) error) (a Act, err error) {
	gone := func(i control.Instance) bool { return i.Conns == 0 }
	if _, err := s.await(ctx, "the clients of before have left", gone); err != nil {
		return a, err
	}
	l, err := startLoad(o, s.addr)
	if err != nil {
		return a, err
	}
	defer l.process.end()
	connected := func(i control.Instance) bool { return i.Conns >= o.Clients }
	if _, err := s.await(ctx, fmt.Sprintf("%d clients are connected", o.Clients), connected); err != nil {
		return a, errors.Join(err, l.complaint())
	}
	o.Progress(fmt.Sprintf("%d clients talk, %g messages a second for %s, then: %s", o.Clients, o.Rate, o.For/2, name))
	if err := pause(ctx, o.For/4); err != nil {
		return a, err
	}
	if err := do(&a); err != nil {
		return a, err
	}
	o.Progress(fmt.Sprintf("%s: the next worker served after %d ms", name, a.Took.Milliseconds()))
	a.Load, err = l.report(ctx)
	return a, err
}

func (s *site) reload(ctx context.Context) (control.Deploy, error) {
	r, err := s.client.Deploy(ctx, control.DeployRequest{})
	if err != nil {
		return control.Deploy{}, err
	}
	return s.client.Follow(ctx, r.ID, func(control.Step) {})
}

// kill ends the serving worker by SIGKILL and returns how long it took until
// another one answered a request.
func (s *site) kill(ctx context.Context) (time.Duration, error) {
	status, err := s.client.Status(ctx)
	if err != nil {
		return 0, err
	}
	worker, err := os.FindProcess(status.Programs[0].Instances[0].PID)
	if err != nil {
		return 0, err
	}
	if err := worker.Kill(); err != nil {
		return 0, fmt.Errorf("kill the worker: %w", err)
	}
	killed := time.Now()
	for ctx.Err() == nil && time.Since(killed) < upTime {
		if s.answers() {
			return time.Since(killed), nil
		}
	}
	return 0, errors.New("no worker answered after the kill")
}

// answers reports whether a request over a fresh connection is answered. One
// that the dying worker had taken is not.
func (s *site) answers() bool {
	client := http.Client{
		Timeout:   upTime,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: upTime}).DialContext},
	}
	resp, err := client.Get("http://" + s.addr + "/healthz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
