package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto/address"
	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/listener"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/record"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// wish is a program that somebody named.
type wish struct {
	config.Program
	sockets []config.Listen
	from    string
	atRun   bool
}

// wishes are all programs that are named at a moment.
type wishes struct {
	file *config.File
	all  []wish
}

// wanted reads the configuration anew and adds what is recorded.
func (f *Fleet) wanted() (wishes, error) {
	file, err := f.Load()
	if err != nil {
		return wishes{}, err
	}
	return f.wantedWith(file), nil
}

// wantedWith adds what is recorded to file. Of two programs of a name that of
// the file counts.
func (f *Fleet) wantedWith(file *config.File) wishes {
	w := wishes{file: file}
	for _, p := range file.Programs {
		each := wish{Program: p, from: f.From}
		for _, l := range file.Listens {
			if slices.Contains(p.Listen, l.Name) {
				each.sockets = append(each.sockets, l)
			}
		}
		w.all = append(w.all, each)
	}
	added := f.Record.Record().Added
	for _, name := range sorted(added) {
		if slices.ContainsFunc(w.all, func(o wish) bool { return o.Name == name }) {
			continue
		}
		each, err := recorded(name, added[name])
		if err != nil {
			f.Log.Error("recorded program ignored", "program", name, "err", err)
			continue
		}
		w.all = append(w.all, each)
	}
	scaled := f.Record.Record().Scaled
	for i := range w.all {
		if n := scaled[w.all[i].Name]; n > 0 {
			w.all[i].Instances = n
		}
	}
	return w
}

// recorded is the wish for a program that was added at run time.
func recorded(name string, p record.Program) (wish, error) {
	if !config.ValidName(name) || len(p.Command) == 0 {
		return wish{}, fmt.Errorf("its name or its command cannot be used")
	}
	w := wish{Program: config.NewProgram(name, p.Command), from: "run time", atRun: true}
	w.Dir, w.Env = p.Dir, p.Env
	if p.ReadyAfter != "" {
		d, err := time.ParseDuration(p.ReadyAfter)
		if err != nil || d < 0 || d >= w.ReadyTimeout {
			return wish{}, fmt.Errorf("ready_after %q: must be a duration less than %s, such as 1s", p.ReadyAfter, w.ReadyTimeout)
		}
		w.ReadyAfter = d
	}
	for _, l := range p.Listen {
		a, err := address.Parse(l.Address)
		if err != nil {
			return wish{}, err
		}
		w.sockets = append(w.sockets, config.Listen{Name: l.Name, Address: a})
		w.Listen = append(w.Listen, l.Name)
	}
	return w, nil
}

func (w wishes) find(name string) (wish, bool) {
	for _, each := range w.all {
		if each.Name == name {
			return each, true
		}
	}
	return wish{}, false
}

// listens are the sockets that the programs are given, and those that the file
// names beside.
func (w wishes) listens() []config.Listen {
	all := slices.Clone(w.file.Listens)
	for _, each := range w.all {
		for _, l := range each.sockets {
			if !slices.Contains(all, l) {
				all = append(all, l)
			}
		}
	}
	return all
}

// planText is what a supervisor after this one makes the same plan of: what was
// wished, with what was found in files at that moment.
type planText struct {
	Program config.Program
	Sockets []config.Listen
	From    string
	AtRun   bool
	Path    string   // of the executable; "": the plan could not be made yet
	Env     []string // whole
}

// plan turns a wish into what an instance is started and treated with. build is
// an executable in place of the configured one, "" for none.
func (f *Fleet) plan(w wish, ring *logs.Ring, build string) (supervise.Plan, error) {
	path, err := executable(w.Command[0], w.Dir, build)
	if err != nil {
		return supervise.Plan{}, err
	}
	env, err := w.Environ(worker.Inherit(os.Environ()))
	if err != nil {
		return supervise.Plan{}, err
	}
	return f.planWith(w, ring, path, env)
}

func (f *Fleet) planWith(w wish, ring *logs.Ring, path string, env []string) (supervise.Plan, error) {
	launcher := &supervise.Program{
		Name: w.Name, Copies: w.Instances, Path: path, Args: w.Command, Env: env, Dir: w.Dir, User: w.User, Output: f.Output, Ring: ring,
		ReadyAfter: w.ReadyAfter,
		Sockets:    func() ([]worker.Socket, error) { return f.duplicates(w.sockets) },
	}
	var asked *listener.Listener
	for _, l := range w.sockets {
		open, err := f.Sockets.Find(l)
		if err != nil {
			return supervise.Plan{}, err
		}
		if l.Name == w.Health.Listen {
			asked = &open
		}
	}
	text, err := json.Marshal(planText{w.Program, w.sockets, w.from, w.atRun, path, env})
	return supervise.Plan{Config: treatment(w, asked), Launcher: launcher, Text: text}, err
}

// latePlan is one that could not be made, for want of an environment file
// perhaps: each attempt to start the program tries again.
func (f *Fleet) latePlan(w wish, ring *logs.Ring) (supervise.Plan, error) {
	text, err := json.Marshal(planText{Program: w.Program, Sockets: w.sockets, From: w.from, AtRun: w.atRun})
	launcher := &late{
		plan: func() (supervise.Launcher, error) {
			p, err := f.plan(w, ring, "")
			return p.Launcher, err
		},
		bare: &supervise.Program{Name: w.Name, Output: f.Output, Ring: ring},
	}
	return supervise.Plan{Config: treatment(w, nil), Text: text, Launcher: launcher}, err
}

// remake makes a plan of its text. Its sockets are open already, or systemd has
// lent them to this supervisor too.
func (f *Fleet) remake(text json.RawMessage, ring *logs.Ring) (supervise.Plan, wish, error) {
	var t planText
	if err := json.Unmarshal(text, &t); err != nil {
		return supervise.Plan{}, wish{}, fmt.Errorf("read a plan of the supervisor before: %w", err)
	}
	w := wish{t.Program, t.Sockets, t.From, t.AtRun}
	if err := f.Sockets.Add(w.sockets); err != nil {
		return supervise.Plan{}, w, err
	}
	if t.Path == "" {
		p, err := f.latePlan(w, ring)
		return p, w, err
	}
	p, err := f.planWith(w, ring, t.Path, t.Env)
	return p, w, err
}

// duplicates are those of sockets for one start. An older plan may name one that
// is closed by now: its number could be anything else's.
func (f *Fleet) duplicates(listens []config.Listen) (all []worker.Socket, err error) {
	for _, l := range listens {
		fd, err := f.Sockets.Duplicate(l)
		if err != nil {
			for _, s := range all {
				unix.Close(s.FD)
			}
			return nil, err
		}
		all = append(all, worker.Socket{Name: l.Name, FD: fd})
	}
	return all, nil
}

// treatment is how the instance of a wish is treated; asked is the socket that
// health checks go to.
func treatment(w wish, asked *listener.Listener) supervise.Config {
	c := supervise.Config{
		Program: w.Name, Copies: w.Instances, ReadyTimeout: w.ReadyTimeout, StopSignal: w.StopSignal, KillTimeout: w.KillTimeout,
		DrainTimeout: w.Drain.Timeout, DrainRate: w.Drain.Rate, Stack: w.Drain.Generations, NoHandover: !w.Drain.Handover,
		Bake:    w.Bake,
		Restart: supervise.Restart{Min: w.Restart.Min, Max: w.Restart.Max, ResetAfter: w.Restart.ResetAfter},
		On:      w.Restart.On,
	}
	if w.Health.HTTP != "" && asked != nil {
		c.Health = supervise.Health{
			Path: w.Health.HTTP, Every: w.Health.Every, Timeout: w.Health.Timeout, Failures: w.Health.Failures,
			Dial: dialer(asked.Address),
		}
	}
	return c
}

func dialer(a address.Address) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		if a.Network == "unix" {
			return d.DialContext(ctx, "unix", a.Path)
		}
		return d.DialContext(ctx, "tcp", a.String())
	}
}

// executable is the path of what is to be started. It stays as written,
// symbolic links and all, because a reload looks there again.
func executable(command, dir, build string) (string, error) {
	if build != "" {
		return build, nil
	}
	if filepath.IsAbs(command) {
		return command, nil
	}
	if strings.Contains(command, "/") {
		return filepath.Join(dir, command), nil
	}
	path, err := exec.LookPath(command)
	if err != nil {
		return "", fmt.Errorf("command %q: not found in $PATH", command)
	}
	return filepath.Abs(path)
}
