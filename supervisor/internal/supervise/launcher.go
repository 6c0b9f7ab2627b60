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

	// Launch starts a worker of b, which came from Pin or Reopen. notify is called
	// with what the worker says and does until worker.Exited, and owns the
	// descriptors of a message.
	Launch(b Build, s LaunchSpec, notify func(worker.Event)) (Process, error)

	// Reopen is Pin of what a supervisor before has pinned. It owns fd.
	Reopen(about control.Build, fd int) (Build, error)

	// Adopt is Launch of a worker that a supervisor before has started. It owns h.
	Adopt(s LaunchSpec, h worker.Handles, notify func(worker.Event)) (Process, error)
}

// LaunchSpec says what is particular to one start.
type LaunchSpec struct {
	Index int // of the instance
	Gen   int
	Arena int                  // descriptor of the instance's arena, 0 if there is none
	Keep  func(worker.Handles) // see [worker.Spec]
}

// Build is a pinned executable.
type Build interface {
	Describe() control.Build
	FD() int // stays the build's
	Close() error
}

// Process is a worker that was started or adopted. Its methods never block, but
// for Pause.
type Process interface {
	PID() int
	Send(m proto.Message, fds ...int) error // owns fds
	Signal(syscall.Signal) error            // to its whole process group
	LastOutput() []string                   // its last lines

	Guard(worker.Guard) error // how it ends without any supervisor
	Unguard()                 // it does so by itself
	Handles() worker.Handles  // to be closed once it has ended
	Pause() (resume func(), err error)
	Leave() // another supervisor has gone on with it, while it was paused
}
