package proto

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// pair returns both ends of a control socket, closed with the test.
func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	a, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	b, err = NewConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

func TestPacketsKeepTheirBoundsAndDescriptors(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := errors.Join(a.Send([]byte("one"), int(w.Fd())), a.Send([]byte("two"))); err != nil {
		t.Fatal(err)
	}
	w.Close()

	packet, fds, err := b.Recv()
	if err != nil || string(packet) != "one" || len(fds) != 1 {
		t.Fatalf("got %q with %d descriptors, %v, want one with 1", packet, len(fds), err)
	}
	if flags, _ := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("the received descriptor would be inherited by the next child")
	}
	if packet, more, err := b.Recv(); err != nil || string(packet) != "two" || len(more) != 0 {
		t.Fatalf("got %q with %d descriptors, %v, want two with none", packet, len(more), err)
	}
	f := os.NewFile(uintptr(fds[0]), "received")
	io.WriteString(f, "through")
	f.Close()
	if got, _ := io.ReadAll(r); string(got) != "through" {
		t.Errorf("the descriptor carried %q", got)
	}
}

func TestAFullPacketPasses(t *testing.T) {
	a, b := pair(t)
	want := bytes.Repeat([]byte("x"), MaxPacket)
	if err := a.Send(want); err != nil {
		t.Fatal(err)
	}
	if got, _, err := b.Recv(); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
	if err := a.Send(append(want, 'x')); err == nil {
		t.Error("one byte more was sent")
	}
	if err := a.Send(nil); err == nil {
		t.Error("an empty packet was sent: it would read as the end")
	}
}

func TestATruncatedPacketIsAnError(t *testing.T) {
	a, b := pair(t)
	if _, err := unix.SendmsgN(rawFD(t, a), make([]byte, MaxPacket+9), nil, nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Recv(); !errors.Is(err, ErrTruncated) {
		t.Errorf("got %v, want ErrTruncated", err)
	}
}

// Over the descriptor limit the kernel drops what does not fit and reports no
// error: only the flag tells.
func TestLostDescriptorsAreAnError(t *testing.T) {
	a, b := pair(t)
	var fds []int
	for range MaxFDs {
		fds = append(fds, 0)
	}
	if err := a.Send([]byte("many"), fds...); err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: 64, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	_, _, err := b.Recv()
	unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	if !errors.Is(err, ErrTruncated) {
		t.Errorf("got %v, want ErrTruncated", err)
	}
}

func TestTheEndIsEOF(t *testing.T) {
	a, b := pair(t)
	a.Close()
	if _, _, err := b.Recv(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
}

func TestNoControlSocket(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fd, _ := unix.Dup(int(r.Fd()))
	r.Close()
	if _, err := NewConn(fd); err == nil {
		t.Error("a pipe was taken for a control socket")
	}
}

func rawFD(t *testing.T, c *Conn) (fd int) {
	t.Helper()
	raw, err := c.unix.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(s uintptr) { fd = int(s) })
	return fd
}

func FuzzRecv(f *testing.F) {
	f.Add([]byte("hello {}"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) == 0 || len(packet) > MaxPacket {
			t.Skip()
		}
		a, b := pair(t)
		if err := a.Send(packet); err != nil {
			t.Fatal(err)
		}
		if got, _, err := b.Recv(); err != nil || !bytes.Equal(got, packet) {
			t.Errorf("sent %q, received %q, %v", packet, got, err)
		}
	})
}
