package ws

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

func someSnapshot() snapshot {
	return snapshot{
		read: 12345, written: 1 << 40, heard: time.Second, said: 3 * time.Minute, half: 2,
		in: masked(0x01, "half of")[:8], out: append([]byte("xy"), appendHeader(nil, opText, 0)...),
	}
}

func TestSnapshot(t *testing.T) {
	for _, want := range []snapshot{{}, someSnapshot()} {
		b := want.append([]byte("before"))[6:]
		got, err := parseSnapshot(b)
		if len(got.in) == 0 {
			got.in, got.out = nil, nil
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		for n := range b {
			if _, err := parseSnapshot(b[:n]); !errors.Is(err, ErrSnapshot) {
				t.Errorf("%d of %d bytes: got %v, want %v", n, len(b), err, ErrSnapshot)
			}
		}
		if _, err := parseSnapshot(append(b, 0)); !errors.Is(err, ErrSnapshot) {
			t.Errorf("a byte too many: got %v, want %v", err, ErrSnapshot)
		}
	}
	idle := snapshot{read: 1000, written: 5000, heard: time.Minute, said: time.Minute}
	if n := len(idle.append(nil)); n > 24 {
		t.Errorf("an idle connection takes %d bytes", n)
	}
	half := someSnapshot()
	half.half = 1
	if _, err := parseSnapshot(half.append(nil)); !errors.Is(err, ErrSnapshot) {
		t.Errorf("what is queued does not end at a frame: got %v, want %v", err, ErrSnapshot)
	}
	var version *VersionError
	if _, err := parseSnapshot([]byte{SnapshotVersion + 1}); !errors.As(err, &version) || version.Version != SnapshotVersion+1 {
		t.Errorf("another version: got %v", err)
	}
}

// FuzzSnapshot: bytes from another process are a snapshot or an error.
func FuzzSnapshot(f *testing.F) {
	s := someSnapshot()
	f.Add(s.append(nil))
	f.Add([]byte{SnapshotVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSnapshot(b)
		if err != nil {
			return
		}
		if len(s.in) > maxSnapshotIn || len(s.out) > maxSnapshotOut || s.half > len(s.out) {
			t.Fatalf("accepts %d and %d bytes, %d", len(s.in), len(s.out), s.half)
		}
		again, err := parseSnapshot(s.append(nil))
		if err != nil || again.read != s.read || again.written != s.written || again.heard != s.heard ||
			again.said != s.said || again.half != s.half || !bytes.Equal(again.in, s.in) || !bytes.Equal(again.out, s.out) {
			t.Fatalf("got %+v, %v; want %+v", again, err, s)
		}
	})
}
