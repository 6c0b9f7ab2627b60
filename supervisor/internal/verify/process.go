package verify

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// endTime is how long a process may take to end when it is asked to; then it is
// killed.
const endTime = 15 * time.Second

// process is a program that the trial has started.
type process struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer // complete once ended is closed
	stderr bytes.Buffer
	ended  chan struct{}
	err    error // of the end
}

// startProcess starts a program in a session of its own: it has no terminal,
// and Ctrl-C reaches it through end only, after what it must outlive.
func startProcess(name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Env = slices.DeleteFunc(worker.Inherit(os.Environ()), isOfASite)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the trial: %w", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// isOfASite reports whether a variable would lead a throwaway chat to the store or
// the hosts of a real one.
func isOfASite(variable string) bool {
	return slices.ContainsFunc([]string{"MONGODB_URI=", "NATS_URL=", "SIMPLETALK_DATA=", "STATE_DIRECTORY="}, func(name string) bool {
		return strings.HasPrefix(variable, name)
	})
}

// end asks the process to end, and returns when it has.
func (p *process) end() {
	p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(endTime):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// lastLine is the last thing that an ended process said.
func (p *process) lastLine() string {
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	return lines[len(lines)-1]
}
