//go:build linux

package sdbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Network is a network namespace with a loopback and nothing else. It lives
// until the end of the test, through every boot of the boxes in it: what has to
// see a reboot from outside, such as a client, is run by [Network.Command] or
// dials by [Network.Dial].
type Network struct {
	t     testing.TB
	space *os.File // /proc/…/ns/net, which keeps it alive
}

// NewNetwork makes a network for the time of the test. Boxes that are to reach
// each other are booted with the same one.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	need(t)
	n := &Network{t: t}
	err := apart(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		n.space, err = os.Open(threadNetwork)
		return errors.Join(err, raiseLoopback())
	})
	if n.space != nil {
		t.Cleanup(func() { n.space.Close() })
	}
	if err != nil {
		t.Fatal("make network: ", err)
	}
	return n
}

// Path names the namespace for as long as the test runs, as `ip link` takes it.
func (n *Network) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.space.Fd()) }

// Command is a command of the machine around, in no box, but in this network.
func (n *Network) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path(), "--"}, args...)...)
}

// Dial connects from within the network. Address is numeric: nobody resolves
// names there.
func (n *Network) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = n.do(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// do runs f in the network. Sockets belong to the network they are made in,
// wherever they are used.
func (n *Network) do(f func() error) error {
	return apart(func() error {
		if err := unix.Setns(int(n.space.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network: %w", err)
		}
		return f()
	})
}

const threadNetwork = "/proc/thread-self/ns/net"

// apart runs f on a thread that may change its network, and brings the thread
// back afterwards. One that cannot come back is never used again: it ends with
// its goroutine, which stays locked to it.
func apart(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(threadNetwork)
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		err = f()
		back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
		if back == nil {
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, back)
	}()
	return <-done
}

// raiseLoopback does what `ip link set lo up` does.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}
