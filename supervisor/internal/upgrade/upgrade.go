package upgrade

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cloudflare/tableflip"
	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

// Timeout is how long a new supervisor may take until it is ready.
const Timeout = 10 * time.Second

// socketName is that of the socket beside, in tableflip's list.
const socketName = "succession"

// Packets of the socket beside.
const (
	ask = "ask" // from the new one: give me everything
	all = "all" // from the old one: that was everything
)

// Upgrader is the part that a process has in upgrades. A process has one.
type Upgrader struct {
	flip *tableflip.Upgrader
	old  *proto.Conn // to the supervisor before; nil: there is none, or it has ended

	mu sync.Mutex // held by the upgrade under way
}

// Join takes up this process's part: it must be called once, early. The
// executable of later upgrades is the one at the path by which this process was
// started, symbolic links and all.
func Join() (*Upgrader, error) { return join(Timeout) }

func join(timeout time.Duration) (*Upgrader, error) {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil {
		os.Args[0] = path // of the next one too, whatever its working directory
	}
	flip, err := tableflip.New(tableflip.Options{UpgradeTimeout: timeout})
	if err != nil {
		return nil, fmt.Errorf("prepare upgrades: %w", err)
	}
	u := &Upgrader{flip: flip}
	if !flip.HasParent() {
		return u, flip.Ready()
	}
	socket, err := flip.File(socketName)
	if err != nil || socket == nil {
		return nil, fmt.Errorf("the supervisor before gave no socket: %w", errors.Join(err, os.ErrNotExist))
	}
	defer socket.Close()
	fd, err := duplicate(socket)
	if err == nil {
		u.old, err = proto.NewConn(fd)
	}
	if err != nil {
		return nil, fmt.Errorf("talk to the supervisor before: %w", err)
	}
	return u, nil
}

func duplicate(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(s uintptr) { fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, dupErr)
}

// Path is the executable that an upgrade starts.
func (u *Upgrader) Path() string { return os.Args[0] }

// IsSuccessor reports whether this process was started to take over from another
// supervisor. It may be asked before Join.
func IsSuccessor() bool { return os.Getenv(EnvSuccessor) != "" }

// EnvSuccessor is set by tableflip in what it starts, which has no other way to
// ask without joining.
const EnvSuccessor = "TABLEFLIP_HAS_PARENT_7DIU3"

// TakesOver reports whether this process has still to take over from another
// supervisor.
func (u *Upgrader) TakesOver() bool { return u.old != nil }

// Receive asks the supervisor before to stand still and returns what it has: from
// here on it waits for [Upgrader.TakeOver], or for the end of this process. The
// descriptors are the caller's.
func (u *Upgrader) Receive() (map[string]int, error) {
	if err := u.old.Send([]byte(ask)); err != nil {
		return nil, fmt.Errorf("ask the supervisor before: %w", err)
	}
	given := map[string]int{}
	for {
		packet, fds, err := u.old.Recv()
		if err != nil {
			return nil, fmt.Errorf("receive from the supervisor before: %w", err)
		}
		if string(packet) == all {
			return given, nil
		}
		var names []string
		if err := json.Unmarshal(packet, &names); err != nil || len(names) != len(fds) {
			return nil, fmt.Errorf("receive from the supervisor before: %d descriptors for %q", len(fds), packet)
		}
		for i, name := range names {
			given[name] = fds[i]
		}
	}
}

// Refuse tells the supervisor before why this process does not take over, if it
// has not done so.
func (u *Upgrader) Refuse(why error) {
	if u.old != nil {
		u.old.Send([]byte(why.Error()))
	}
}

// ErrOrphaned says that the supervisor before has died in the middle.
var ErrOrphaned = errors.New("the supervisor before died in the middle of the upgrade")

// TakeOver says that this process is the supervisor from here on, and returns
// once the one before has ended. On an error it must end without touching
// anything.
func (u *Upgrader) TakeOver(ctx context.Context) error {
	if u.old.HungUp() {
		return ErrOrphaned
	}
	if err := u.flip.Ready(); err != nil {
		return fmt.Errorf("%w: %w", ErrOrphaned, err)
	}
	if err := u.flip.WaitForParent(ctx); err != nil {
		return fmt.Errorf("wait for the supervisor before: %w", err)
	}
	u.old.Close()
	u.old = nil
	return nil
}

// Stop ends an upgrade under way, which fails by that, and prevents others.
func (u *Upgrader) Stop() { u.flip.Stop() }

// Upgrade starts the executable and returns nil once it has taken over: then
// this process must end, and touch nothing any more. give is called when the new
// one is there: it has everything stand still, and returns what there is; the
// descriptors stay its own. An error says why the new one has not taken over; it
// has ended then.
func (u *Upgrader) Upgrade(give func() (map[string]int, error)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	ours, theirs, err := proto.Pair()
	if err != nil {
		return err
	}
	socket := os.NewFile(uintptr(theirs), socketName)
	err = u.flip.Fds.AddFile(socketName, socket)
	socket.Close()
	if err != nil {
		ours.Close()
		return fmt.Errorf("pass a socket on: %w", err)
	}
	told := make(chan error, 1)
	go func() { told <- serve(ours, give) }()
	err = u.flip.Upgrade()
	if err == nil {
		return nil // the socket stays open until this process ends
	}
	late := time.AfterFunc(lastWords, func() { ours.Close() })
	why := <-told
	late.Stop()
	ours.Close()
	return cmp.Or(why, err)
}

// lastWords is how long it is waited for what a process said that has ended.
const lastWords = 200 * time.Millisecond

// serve gives the new supervisor what it asks for. Its error is why it does not
// take over, as far as that is told.
func serve(c *proto.Conn, give func() (map[string]int, error)) error {
	packet, fds, err := c.Recv()
	proto.CloseFDs(fds)
	if err != nil {
		return nil // it ended: how, its parent knows
	}
	if string(packet) != ask {
		return errors.New(string(packet))
	}
	given, err := give()
	if err != nil {
		c.Close() // it has nothing to wait for
		return err
	}
	if err := send(c, given); err != nil {
		return fmt.Errorf("give everything to the new supervisor: %w", err)
	}
	packet, fds, err = c.Recv()
	proto.CloseFDs(fds)
	if err != nil {
		return nil
	}
	return errors.New(string(packet))
}

// batch is how many descriptors go in a packet.
const batch = 100

func send(c *proto.Conn, given map[string]int) error {
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	for some := range slices.Chunk(names, batch) {
		var fds []int
		for _, name := range some {
			fds = append(fds, given[name])
		}
		packet, err := json.Marshal(some)
		if err != nil {
			return err
		}
		if err := c.Send(packet, fds...); err != nil {
			return err
		}
	}
	return c.Send([]byte(all))
}
