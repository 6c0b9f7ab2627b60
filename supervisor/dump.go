//go:build linux

package main

import (
	"context"
	"encoding/json"
	"runtime"
	"time"
)

// asideTime bounds what a signal asks for beside the supervisor's work.
const asideTime = 5 * time.Second

// dump logs everything that the supervisor knows, a line a program, and how the
// process itself does. It holds no secrets: status and describe tell the same.
func (d *daemon) dump() {
	ctx, cancel := context.WithTimeout(d.ending, asideTime)
	defer cancel()
	s, err := d.Status(ctx)
	if err != nil {
		d.log.Error("state not dumped", "err", err)
		return
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	d.log.Info("state", "pid", s.PID, "version", s.Version, "up", time.Since(s.Started).Round(time.Second),
		"goroutines", runtime.NumGoroutine(), "heap", m.HeapAlloc)
	for _, l := range s.Listen {
		d.log.Info("state of listener", "name", l.Name, "address", l.Address)
	}
	for _, p := range s.Programs {
		text, err := json.Marshal(p)
		d.log.Info("state of program", "program", p.Name, "state", string(text), "err", err)
	}
	for _, e := range s.Deploys {
		text, err := json.Marshal(e)
		d.log.Info("state of deploy", "deploy", e.ID, "state", string(text), "err", err)
	}
}

// reopenLogs opens every log file anew.
func (d *daemon) reopenLogs() {
	ctx, cancel := context.WithTimeout(d.ending, asideTime)
	defer cancel()
	d.ReopenLogs(ctx)
}
