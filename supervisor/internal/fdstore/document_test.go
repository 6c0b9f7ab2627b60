package fdstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newDocument(t *testing.T, texts ...string) *Document {
	t.Helper()
	d, err := NewDocument("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for _, text := range texts {
		if err := d.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// holds checks the text of a document.
func holds(t *testing.T, fd int, want string) {
	t.Helper()
	if got, err := ReadDocument(fd); err != nil || got != want {
		t.Fatalf("it holds %.40q of %d bytes, %v; want %.40q of %d", got, len(got), err, want, len(want))
	}
}

func TestADocumentIsReadByWhoeverHasItsDescriptor(t *testing.T) {
	d := newDocument(t, "first")
	holds(t, d.FD(), "first")
	fd, err := unix.FcntlInt(uintptr(d.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, text, err := OpenDocument(fd)
	if err != nil || text != "first" {
		t.Fatalf("opened with %q, %v", text, err)
	}
	defer second.Close()
	for _, text := range []string{"", "second", "second", strings.Repeat("é", 100_000), "x"} {
		if err := second.Write(text); err != nil {
			t.Fatal(err)
		}
		holds(t, d.FD(), text)
	}
}

// sequences are those of the headers of both halves.
func sequences(t *testing.T, fd int) (halves [2]uint64) {
	t.Helper()
	for i := range halves {
		h := make([]byte, headerSize)
		readAt(fd, h, int64(i)*halfSize)
		halves[i] = binary.LittleEndian.Uint64(h)
	}
	return halves
}

func TestTheHalvesAreWrittenInTurn(t *testing.T) {
	d := newDocument(t)
	for i, want := range [][2]uint64{{0, 1}, {2, 1}, {2, 3}, {4, 3}} {
		text := fmt.Sprint("text ", i)
		if err := d.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := d.Write(text); err != nil { // nothing new
			t.Fatal(err)
		}
		if got := sequences(t, d.FD()); got != want {
			t.Errorf("after %d: sequences %v, want %v", i+1, got, want)
		}
	}
}

func TestWhatIsTooLongChangesNothing(t *testing.T) {
	longest := strings.Repeat("x", MaxDocument)
	d := newDocument(t, "a", "b")
	if err := d.Write(longest + "x"); err == nil || !strings.Contains(err.Error(), fmt.Sprint("at most ", MaxDocument)) {
		t.Errorf("got %v", err)
	}
	holds(t, d.FD(), "b")
	for _, text := range []string{longest, longest[1:] + "y", "short"} {
		if err := d.Write(text); err != nil {
			t.Fatal(err)
		}
		holds(t, d.FD(), text)
	}
}

func TestWhatIsNoDocument(t *testing.T) {
	tooLong := make([]byte, headerSize)
	binary.LittleEndian.PutUint64(tooLong, 9)
	binary.LittleEndian.PutUint32(tooLong[8:], MaxDocument+1)
	half := newDocument(t, "text")
	if err := unix.Ftruncate(half.FD(), halfSize+headerSize+2); err != nil {
		t.Fatal(err)
	}
	for name, fd := range map[string]int{
		"never written":   newDocument(t).FD(),
		"zeros":           memory(t, make([]byte, 100)),
		"something else":  memory(t, bytes.Repeat([]byte("supervisor"), 100)),
		"too long":        memory(t, tooLong),
		"cut off":         half.FD(),
		"not for reading": null(t),
		"closed":          -1,
	} {
		t.Run(name, func(t *testing.T) {
			if text, err := ReadDocument(fd); !errors.Is(err, ErrNoDocument) {
				t.Errorf("read %q, %v; want ErrNoDocument", text, err)
			}
			dup, _ := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if _, _, err := OpenDocument(dup); !errors.Is(err, ErrNoDocument) {
				t.Errorf("opened: %v, want ErrNoDocument", err)
			}
			if isOpen(dup) {
				t.Error("the descriptor is left open")
			}
		})
	}
}

// memory is a descriptor of memory with content.
func memory(t *testing.T, content []byte) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := writeAt(fd, content, 0); err != nil {
		t.Fatal(err)
	}
	return fd
}

// A kill leaves a part of what was to be written, whichever end it began at: as
// long as it is not everything, the text before is read.
func TestAWriteTornAtAnyByteLeavesTheTextBefore(t *testing.T) {
	const second = "the second"
	for _, first := range []string{"the first", "", strings.Repeat("long ", 50)} {
		for _, third := range []string{"the third", "", "the firsT", strings.Repeat("much longer ", 30)} {
			before := newDocument(t, first, second)
			after := newDocument(t, first, second, third)
			was, becomes := halfOf(t, before.FD(), 3, len(third)), halfOf(t, after.FD(), 3, len(third))
			for n := range len(becomes) + 1 {
				for _, torn := range [][]byte{
					append(bytes.Clone(becomes[:n]), was[n:]...),
					append(bytes.Clone(was[:n]), becomes[n:]...),
					headerLast(was, becomes, n),
				} {
					if err := writeAt(before.FD(), torn, halfSize); err != nil {
						t.Fatal(err)
					}
					want := second
					if bytes.Equal(torn, becomes) {
						want = third
					}
					holds(t, before.FD(), want)
				}
			}
		}
	}
}

// halfOf is what a write of length bytes with a sequence number touches.
func halfOf(t *testing.T, fd int, sequence, length int) []byte {
	t.Helper()
	b := make([]byte, headerSize+length)
	if !readAt(fd, b, int64(sequence%2)*halfSize) { // beyond the end are zeros
		if _, err := unix.Pread(fd, b, int64(sequence%2)*halfSize); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// headerLast is a half of which the first n bytes were written, the text before
// the header.
func headerLast(was, becomes []byte, n int) []byte {
	torn := bytes.Clone(was)
	length := len(becomes) - headerSize
	copy(torn[headerSize:], becomes[headerSize:headerSize+min(n, length)])
	copy(torn[:headerSize], becomes[:max(0, n-length)])
	return torn
}

// line is the text number n of a writer: long and of a length of its own.
func line(n int) string {
	return fmt.Sprintf("%d %s", n, strings.Repeat(string(rune('a'+n%26)), n*7919%300_000))
}

// writeOn writes texts to the document behind fd until it is killed, and says so
// when it begins.
func writeOn(fd int) {
	d, text, err := OpenDocument(fd)
	if err != nil {
		panic(err)
	}
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		panic(err)
	}
	fmt.Println("begins")
	for {
		n++
		if err := d.Write(line(n)); err != nil {
			panic(err)
		}
	}
}

func TestAWriterIsKilled(t *testing.T) {
	const rounds = 40
	d := newDocument(t, line(1))
	last := 1
	for range rounds {
		killWriter(t, d.FD(), time.Duration(rand.IntN(int(8*time.Millisecond))))
		text, err := ReadDocument(d.FD())
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || text != line(n) || n < last {
			t.Fatalf("after %d it holds %.40q of %d bytes, %v", last, text, len(text), err)
		}
		last = n
	}
	if last < rounds/4 {
		t.Errorf("only %d texts were written in %d rounds", last, rounds)
	}
}

// killWriter lets a process write to the document behind fd for a while.
func killWriter(t *testing.T, fd int, while time.Duration) {
	t.Helper()
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(dup), "document")
	defer file.Close()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), envPart+"=writer", "GORACE=atexit_sleep_ms=0")
	c.ExtraFiles = []*os.File{file}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_, err = out.Read(make([]byte, 10))
	time.Sleep(while)
	c.Process.Kill()
	c.Wait()
	if err != nil {
		t.Fatalf("it did not begin: %v", err)
	}
}
