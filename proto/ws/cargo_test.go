package ws

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

var someCargo = cargo{
	items: []item{
		{id: 1<<64 - 1, snapshot: []byte("s"), state: []byte("state")},
		{id: 7, snapshot: []byte{}},                   // nothing to tell
		{id: 8, snapshot: []byte{0}, state: []byte{}}, // something, and it is empty
	},
	all: []byte("all"),
}

func TestCargoSurvivesTheWay(t *testing.T) {
	fd, err := pack(someCargo.append(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer proto.CloseFDs([]int{fd})
	b, err := unpack(fd)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseCargo(b)
	if err != nil || len(got.items) != 3 || !bytes.Equal(got.all, someCargo.all) {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i, want := range someCargo.items {
		it := got.items[i]
		if it.id != want.id || !bytes.Equal(it.snapshot, want.snapshot) || !bytes.Equal(it.state, want.state) || (it.state == nil) != (want.state == nil) {
			t.Errorf("item %d: %+v, want %+v", i, it, want)
		}
	}
	if _, err := unix.Write(fd, []byte("x")); err == nil {
		t.Error("a state can be changed on its way")
	}
}

func TestWhatIsNoCargo(t *testing.T) {
	whole := someCargo.append(nil)
	for n := range whole {
		if _, err := parseCargo(whole[:n]); !errors.Is(err, ErrCargo) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := parseCargo(append(whole, 0)); !errors.Is(err, ErrCargo) {
		t.Errorf("a byte too many: %v", err)
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer proto.CloseFDs(fds[:])
	if _, err := unpack(fds[0]); !errors.Is(err, ErrCargo) {
		t.Errorf("a pipe: %v", err)
	}
}

func FuzzCargo(f *testing.F) {
	f.Add(someCargo.append(nil))
	f.Add((&cargo{}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCargo(b)
		if err != nil {
			return
		}
		again, err := parseCargo(c.append(nil))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}
