// Package statedir is the folder in which one supervisor keeps what belongs to
// its life: the lock, the control socket, the PID file. It holds no data that
// must survive a reboot.
package statedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Names within the folder.
const (
	socketName = "control.sock"
	lockName   = "lock"
	pidName    = "supervisor.pid"
	bookName   = "deploys.json"
)

// EnvState names the folder in the environment.
const EnvState = "SIMPLETALK_STATE"

const (
	local     = "./.supervisor"   // a developer's, beside the sources
	installed = "/run/simpletalk" // a service's
)

// Find returns the folder that a command talks to: flag if given, else what
// [EnvState] says, else ./.supervisor if there is one, else /run/simpletalk.
func Find(flag string) string {
	if dir := chosen(flag); dir != "" {
		return dir
	}
	if info, err := os.Stat(local); err == nil && info.IsDir() {
		return local
	}
	return installed
}

// Used tells whether a supervisor has run in the state directory since that was
// made: under systemd, since the machine or the service was started.
func Used(path string) bool {
	_, err := os.Stat(filepath.Join(path, lockName))
	return err == nil
}

// FindOrMake is Find for a supervisor that starts: without any it makes
// ./.supervisor. The folder has mode 0700, because whoever reaches the control
// socket in it commands the supervisor.
func FindOrMake(flag string) (string, error) {
	dir := chosen(flag)
	if dir == "" {
		dir = local
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	return dir, nil
}

func chosen(flag string) string {
	if flag != "" {
		return flag
	}
	return os.Getenv(EnvState)
}

// ErrLocked says that another supervisor lives in the folder.
var ErrLocked = errors.New("another supervisor runs there")

// Dir is the folder while this process is its supervisor.
type Dir struct {
	path   string
	lock   *os.File
	root   *os.File // the folder itself, for names of any length
	locked bool

	writing sync.Mutex // held by WriteDeploys
}

// Open opens the folder without touching anything in it.
func Open(path string) (*Dir, error) {
	root, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return &Dir{path: path, lock: lock, root: root}, nil
}

// Lock locks the folder for this process, which comes before anything in it is
// touched. If a supervisor lives there already the error wraps [ErrLocked] and
// names it.
func (d *Dir) Lock() error {
	err := syscall.Flock(d.fd(d.lock), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("%w: %s (pid %s); stop it, or choose another with --state", ErrLocked, d.path, known(d.Holder()))
	case err != nil:
		return fmt.Errorf("lock state directory %s: %w", d.path, err)
	}
	pid := strconv.Itoa(os.Getpid())
	d.lock.Truncate(0) // for people and [Dir.Holder]: the lock holds without
	d.lock.WriteAt([]byte(pid+"\n"), 0)
	d.locked = true
	return nil
}

func known(pid int) string {
	if pid == 0 {
		return "unknown"
	}
	return strconv.Itoa(pid)
}

// Holder is the process that has locked the folder last, 0 if that is not known.
func (d *Dir) Holder() int {
	b := make([]byte, 20)
	n, _ := d.lock.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// fd is f's descriptor as it is; the file stays owned by f.
func (d *Dir) fd(f *os.File) (fd int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1
	}
	raw.Control(func(s uintptr) { fd = int(s) })
	return fd
}

// ReadDeploys returns what WriteDeploys wrote last, nil if that was never.
func (d *Dir) ReadDeploys() ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(d.path, bookName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// WriteDeploys keeps, whole or not at all, how deploys ended for a supervisor
// that comes after this one.
func (d *Dir) WriteDeploys(b []byte) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	name := filepath.Join(d.path, bookName)
	err := os.WriteFile(name+".new", b, 0o600)
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		os.Remove(name + ".new") // a full disk has better use for it
		return fmt.Errorf("write deploys: %w", err)
	}
	return nil
}

// WritePID writes this process's id to supervisor.pid, whole or not at all.
func (d *Dir) WritePID() error {
	name := d.PIDPath()
	temp := name + ".new"
	if err := os.WriteFile(temp, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return fmt.Errorf("write PID file: %w", err)
	}
	if err := os.Rename(temp, name); err != nil {
		return fmt.Errorf("write PID file: %w", err)
	}
	return nil
}

// PIDPath is the file that WritePID writes.
func (d *Dir) PIDPath() string { return filepath.Join(d.path, pidName) }

// ReadPID is the process that the file names, 0 if it names none.
func (d *Dir) ReadPID() int {
	text, err := os.ReadFile(d.PIDPath())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// Listen opens the control socket with mode 0600, or 0660 for the members of
// group if that is not negative, in place of one that a dead supervisor left: the
// lock says that none is alive.
func (d *Dir) Listen(group int) (net.Listener, error) {
	if err := os.Remove(filepath.Join(d.path, socketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	mask := 0o177 // the socket has its final mode from the start
	if group >= 0 {
		mask = 0o117
	}
	old := unix.Umask(mask)
	l, err := net.Listen("unix", socketPath(d.fd(d.root)))
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket in %s: %w", d.path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // Close removes it by its name
	if err := d.admit(group); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// admit lets the members of group reach the socket, the folder last: until then
// it is private.
func (d *Dir) admit(group int) error {
	if group < 0 {
		return nil
	}
	root := d.fd(d.root)
	err := unix.Fchownat(root, socketName, -1, group, 0)
	if err == nil {
		err = unix.Fchown(root, -1, group)
	}
	if err == nil {
		err = unix.Fchmod(root, 0o710)
	}
	if err != nil {
		return fmt.Errorf("give the control socket to group %d: %w", group, err)
	}
	return nil
}

// socketPath names the control socket through a descriptor of its folder: a
// socket's address holds 107 bytes (unix(7)), a path may have 4095.
func socketPath(dirFD int) string { return fmt.Sprintf("/proc/self/fd/%d/%s", dirFD, socketName) }

// Close gives the folder up. Whoever has locked it removes the control socket and
// the PID file before.
func (d *Dir) Close() error {
	if !d.locked {
		return d.close()
	}
	os.Remove(filepath.Join(d.path, socketName))
	os.Remove(filepath.Join(d.path, pidName))
	return d.close()
}

func (d *Dir) close() error { return errors.Join(d.lock.Close(), d.root.Close()) }

// Dial returns how to reach the supervisor that lives in the folder at path.
func Dial(path string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		dir, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: "unix", Err: fmt.Errorf("%s: %w", path, err)}
		}
		defer unix.Close(dir)
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", socketPath(dir))
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: "unix", Err: fmt.Errorf("%s: %w", filepath.Join(path, socketName), reason(err))}
		}
		return c, nil
	}
}

// reason strips err of the descriptor's path, which tells people nothing.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
