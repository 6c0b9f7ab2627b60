package ws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// CargoVersion is the version of the state of connections that this build
// writes, and the newest it reads. It covers [SnapshotVersion] too.
const CargoVersion = 1

// ErrCargo: the bytes are not the state of connections, or not all of it.
var ErrCargo = errors.New("ws: not the state of connections")

// maxCargo bounds what a worker may be asked to load: a process that cannot
// hold it could not have written it.
const maxCargo = 1 << 30

// cargo is what travels in a swap beside the descriptors.
//
//	number of items · items · len(all) · all
//	item: id · len(snapshot) · snapshot · known · len(state) · state
//
// Numbers are uvarints. known is 0 when the application has nothing to tell.
type cargo struct {
	items []item
	all   []byte // the application's, of no connection
}

// item is one connection.
type item struct {
	id       uint64
	snapshot []byte
	state    []byte // the application's; nil: nothing to tell
}

func appendBytes(b, p []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

func (i *item) append(b []byte) []byte {
	b = binary.AppendUvarint(b, i.id)
	b = appendBytes(b, i.snapshot)
	if i.state == nil {
		return append(b, 0)
	}
	return appendBytes(append(b, 1), i.state)
}

func (c *cargo) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.items)))
	for i := range c.items {
		b = c.items[i].append(b)
	}
	return appendBytes(b, c.all)
}

// parseCargo keeps b.
func parseCargo(b []byte) (cargo, error) {
	p := parser{rest: b}
	var c cargo
	for n := p.number(uint64(len(b))); n > 0 && !p.bad; n-- {
		c.items = append(c.items, p.item())
	}
	c.all = p.bytes(maxCargo)
	if p.bad || len(p.rest) > 0 {
		return cargo{}, ErrCargo
	}
	return c, nil
}

// parseItem keeps b.
func parseItem(b []byte) (item, error) {
	p := parser{rest: b}
	i := p.item()
	if p.bad || len(p.rest) > 0 {
		return item{}, ErrCargo
	}
	return i, nil
}

func (p *parser) item() item {
	i := item{id: p.number(1<<64 - 1), snapshot: p.bytes(maxCargo)}
	if p.number(1) == 1 {
		i.state = p.bytes(maxCargo)
		if i.state == nil {
			i.state = []byte{}
		}
	}
	return i
}

// pack writes b to a sealed memfd: nobody can change or shrink it under its
// reader. The close-on-exec descriptor is the caller's.
func pack(b []byte) (fd int, err error) {
	fd, err = unix.MemfdCreate("simpletalk-swap", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("ws: state of connections: %w", err)
	}
	for rest := b; len(rest) > 0 && err == nil; {
		var n int
		n, err = unix.Write(fd, rest)
		rest = rest[max(n, 0):]
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("ws: state of connections: %w", err)
	}
	return fd, nil
}

// unpack reads what pack wrote.
func unpack(fd int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCargo, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxCargo {
		return nil, fmt.Errorf("%w: mode %#o, %d bytes", ErrCargo, st.Mode, st.Size)
	}
	b := make([]byte, st.Size)
	for read := 0; read < len(b); {
		n, err := unix.Pread(fd, b[read:], int64(read))
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && err != unix.EINTR {
			return nil, fmt.Errorf("%w: %w", ErrCargo, err)
		}
		read += max(n, 0)
	}
	return b, nil
}
