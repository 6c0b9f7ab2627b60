//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/metrics"
	"github.com/simpletalk/simpletalk/app/internal/web"
)

// debugEvery is how often the socket is looked after.
const debugEvery = time.Second

// debugSocket is a Unix socket of its owner alone, with metrics, health and
// profiles. Of several workers that overlap it belongs to the one that began to
// serve last: that one puts its own in place of any other, so that a build which
// is rejected has touched nothing. Later it is made again only where there is
// none that answers, so that two who serve do not quarrel about it.
type debugSocket struct {
	path    string
	hub     *chat.Hub
	log     *slog.Logger
	server  *http.Server
	serves  bool         // the hub was not held when last looked at
	mine    os.FileInfo  // nil: it was never in place
	l       net.Listener // nil: likewise
	trouble string       // why it could not be made, as last logged
}

func newDebugSocket(path string, hub *chat.Hub, log *slog.Logger, h http.Handler) *debugSocket {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second}
	return &debugSocket{path: path, hub: hub, log: log, server: server}
}

// debugHandler is everything that is nobody's business but the operator's.
func debugHandler(m *metrics.Metrics, s *web.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	mux.Handle("GET /healthz", s.Probes())
	mux.Handle("GET /readyz", s.Probes())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// run serves until ctx ends. No worker ends for want of its metrics: what goes
// wrong is logged, and tried again.
func (d *debugSocket) run(ctx context.Context) {
	var serving sync.WaitGroup
	every := time.NewTicker(debugEvery)
	defer every.Stop()
	for {
		if d.wanted() && d.make() {
			l := d.l
			serving.Go(func() { d.server.Serve(l) })
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			if d.inPlace() {
				os.Remove(d.path)
			}
			d.server.Close()
			serving.Wait()
			return
		}
	}
}

// wanted reports whether a socket is to be put in place now.
func (d *debugSocket) wanted() bool {
	began := !d.serves && !d.hub.Held()
	d.serves = !d.hub.Held()
	if !d.serves || d.inPlace() {
		return false
	}
	return began || d.trouble != "" || !answers(d.path)
}

// answers reports whether somebody listens at a path.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, debugEvery)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// inPlace reports whether the socket at the path is ours.
func (d *debugSocket) inPlace() bool {
	there, err := os.Lstat(d.path)
	return err == nil && d.mine != nil && os.SameFile(d.mine, there)
}

// make puts a socket at the path, and reports false if that cannot be done now.
func (d *debugSocket) make() bool {
	l, info, err := listenPrivately(d.path)
	if err != nil {
		if d.trouble != err.Error() {
			d.log.Error("debug socket not served", "err", err)
		}
		d.trouble = err.Error()
		return false
	}
	if d.l != nil {
		d.l.Close() // nobody can reach it any more
	}
	d.l, d.mine, d.trouble = l, info, ""
	d.log.Info("debug socket served", "path", d.path)
	return true
}

// listenPrivately makes a socket in a directory that nobody else can enter, and
// moves it to the path: it is there whole and private, or not at all. Nothing
// but a socket is replaced.
func listenPrivately(path string) (net.Listener, os.FileInfo, error) {
	if there, err := os.Lstat(path); err == nil && there.Mode().Type() != os.ModeSocket {
		return nil, nil, fmt.Errorf("%s is there and is no socket: name another path", path)
	}
	room, err := os.MkdirTemp(filepath.Dir(path), ".d")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(room)
	made := filepath.Join(room, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	l.SetUnlinkOnClose(false)
	info, err := os.Lstat(made)
	err = errors.Join(err, os.Chmod(made, 0o600), os.Rename(made, path))
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, info, nil
}

// maxSocketPath is what the kernel takes, less the directory in which a socket
// is made.
const maxSocketPath = 107 - len("/.d0123456789/s")

// checkDebugSocket says what is wrong with a path.
func checkDebugSocket(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("%q must be an absolute path of a Unix socket", path)
	case len(path) > maxSocketPath:
		return fmt.Errorf("%q is longer than %d bytes, which the system allows", path, maxSocketPath)
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
		return fmt.Errorf("%q is in no directory: make %s first", path, filepath.Dir(path))
	}
	return nil
}
