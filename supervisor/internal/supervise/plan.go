package supervise

import (
	"encoding/json"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
)

// Config is how an instance is treated. The zero value of every duration and
// number is the documented default. Program, Index, Copies, Later and StepTimeout are
// those that the instance began with, the rest may change with a reload.
type Config struct {
	Program      string
	Index        int            // among its instances, from 0
	Copies       int            // how many there are, which share the descriptors; 0 means 1
	Later        bool           // it begins stopped
	ReadyTimeout time.Duration  // from the start to ready; 0 means 10 s
	StopSignal   syscall.Signal // what makes a plain program drain; 0 means SIGTERM
	KillTimeout  time.Duration  // from that to SIGKILL; 0 means DrainTimeout
	DrainTimeout time.Duration  // from drain to the end; 0 means 30 s
	DrainRate    int            // connections a draining worker closes per second; 0 means 300
	Stack        int            // generations that may drain at once; 0 means 5
	Bake         time.Duration  // how long a build serves before it is good; 0 means that it is at once
	NoHandover   bool           // connections end with their worker
	StepTimeout  time.Duration  // for each step of a handover; 0 means 5 s
	Restart      Restart
	On           config.Policy // after which ends the last good build is started again
	Health       Health
}

func (c Config) withDefaults() Config {
	if c.ReadyTimeout <= 0 {
		c.ReadyTimeout = 10 * time.Second
	}
	if c.StopSignal == 0 {
		c.StopSignal = syscall.SIGTERM
	}
	if c.DrainTimeout <= 0 {
		c.DrainTimeout = 30 * time.Second
	}
	if c.KillTimeout <= 0 {
		c.KillTimeout = c.DrainTimeout
	}
	if c.DrainRate <= 0 {
		c.DrainRate = 300
	}
	if c.Stack <= 0 {
		c.Stack = 5
	}
	if c.StepTimeout <= 0 {
		c.StepTimeout = 5 * time.Second
	}
	c.Restart = c.Restart.withDefaults()
	c.Health = c.Health.withDefaults()
	return c
}

// Plan is what a reload chose: how generations are started, and how they are
// treated. A generation keeps the one that it was started with, and so does a
// crash restart of it.
type Plan struct {
	Config
	Launcher

	// Text is what a supervisor after this one makes the same plan of.
	Text json.RawMessage
}

// withDefaults is p as an instance has it.
func (p Plan) withDefaults() *Plan {
	p.Config = p.Config.withDefaults()
	return &p
}

// pinned is a build that can be started again, with the plan it had.
type pinned struct {
	build Build
	plan  *Plan
}
