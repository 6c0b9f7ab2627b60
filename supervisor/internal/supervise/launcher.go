package supervise

import (
	"syscall"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// Launcher pins builds and starts workers from them. Its methods may take
// their time and are called from several goroutines.
type Launcher interface {
	// Pin takes hold of the executable that the configuration names now.
	Pin() (Build, error)

	// Launch starts generation gen of b, which came from Pin, with the arena of
	// its instance, 0 if there is none. notify is called with what the worker
	// says and does until worker.Exited, and owns the descriptors of a message.
	Launch(b Build, gen, arena int, notify func(worker.Event)) (Process, error)
}

// Build is a pinned executable.
type Build interface {
	Describe() control.Build
	Close() error
}

// Process is a worker that was started. Its methods never block.
type Process interface {
	PID() int
	Send(m proto.Message, fds ...int) error // owns fds
	Signal(syscall.Signal) error            // to its whole process group
	LastOutput() []string                   // its last lines
}
