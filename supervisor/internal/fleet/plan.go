package fleet

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

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
	return w
}

// recorded is the wish for a program that was added at run time.
func recorded(name string, p record.Program) (wish, error) {
	if !config.ValidName(name) || len(p.Command) == 0 {
		return wish{}, fmt.Errorf("its name or its command cannot be used")
	}
	w := wish{Program: config.NewProgram(name, p.Command), from: "run time", atRun: true}
	w.Dir, w.Env = p.Dir, p.Env
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

// plan turns a wish into what an instance is started and treated with. build is
// an executable in place of the configured one, "" for none.
func (f *Fleet) plan(w wish, ring *logs.Ring, build string) (supervise.Config, supervise.Launcher, error) {
	launcher := &supervise.Program{
		Name: w.Name, Args: w.Command, Dir: w.Dir, User: w.User, Output: f.Output, Ring: ring,
	}
	var err error
	if launcher.Path, err = executable(w.Command[0], w.Dir, build); err != nil {
		return supervise.Config{}, nil, err
	}
	if launcher.Env, err = w.Environ(worker.Inherit(os.Environ())); err != nil {
		return supervise.Config{}, nil, err
	}
	launcher.Sockets = func() ([]worker.Socket, error) { return f.duplicates(w.sockets) }
	var asked *listener.Listener
	for _, l := range w.sockets {
		open, err := f.Sockets.Find(l)
		if err != nil {
			return supervise.Config{}, nil, err
		}
		if l.Name == w.Health.Listen {
			asked = &open
		}
	}
	return treatment(w, asked), launcher, nil
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
		Program: w.Name, ReadyTimeout: w.ReadyTimeout, StopSignal: w.StopSignal, KillTimeout: w.KillTimeout,
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
