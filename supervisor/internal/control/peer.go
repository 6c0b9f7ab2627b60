package control

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer is the process at the other end of a connection.
type peer struct {
	pid    int32
	uid    uint32
	groups []uint32
	err    error // why it is not known
}

type peerKey struct{}

// withPeer adds to ctx who has connected.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerOf(c))
}

// peerOf asks the kernel who connected.
func peerOf(c net.Conn) (p peer) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return peer{err: fmt.Errorf("%T tells nothing of its peer", c)}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return peer{err: err}
	}
	if err := raw.Control(func(fd uintptr) { p = peerOfFD(int(fd)) }); err != nil {
		return peer{err: err}
	}
	return p
}

func peerOfFD(fd int) peer {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return peer{err: fmt.Errorf("SO_PEERCRED: %w", err)}
	}
	return peer{pid: cred.Pid, uid: cred.Uid, groups: append(supplementary(fd), cred.Gid)}
}

// supplementary returns the groups that the peer was in beside its own; none
// before Linux 4.13, which cannot tell. The package unix has no call for it.
func supplementary(fd int) []uint32 {
	groups := make([]uint32, 64)
	for {
		size := uint32(4 * len(groups))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == unix.ERANGE && int(size/4) > len(groups):
			groups = make([]uint32, size/4)
		case errno != 0:
			return nil
		default:
			return groups[:size/4]
		}
	}
}

// mayChange says why p may not change anything, nil if it may. group is that of
// the configuration, negative for none.
func (p peer) mayChange(group int) error {
	switch {
	case p.err != nil:
		return fmt.Errorf("who asks is not known: %w", p.err)
	case p.uid == 0, p.uid == uint32(os.Geteuid()):
		return nil
	case group >= 0 && slices.Contains(p.groups, uint32(group)):
		return nil
	default:
		return fmt.Errorf("user %s may look, but only the supervisor's own user, root and members of [control] group may change anything", userName(p.uid))
	}
}

// String names the peer for the log.
func (p peer) String() string {
	if p.err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%s, pid %d", userName(p.uid), p.pid)
}

func userName(uid uint32) string {
	id := strconv.Itoa(int(uid))
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}
