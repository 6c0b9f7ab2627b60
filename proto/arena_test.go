package proto

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// mapped makes an arena and maps it, for the test.
func mapped(t *testing.T, records int) (fd int, a *Arena) {
	t.Helper()
	fd, err := MakeArena(records)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd, mapAgain(t, fd)
}

func mapAgain(t *testing.T, fd int) *Arena {
	t.Helper()
	a, err := MapArena(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestAnOwnershipWordHoldsItsOwner(t *testing.T) {
	for _, want := range []Owner{
		{}, {Generation: 7, Phase: PhaseServing}, {Generation: 7, Phase: PhaseFrozen, Swap: 9},
		{Generation: 1<<32 - 1, Phase: PhaseFrozen, Swap: 1<<swapBits - 1},
	} {
		if got := ownerOf(want.word()); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestWhoeverMapsTheArenaSeesTheSame(t *testing.T) {
	fd, old := mapped(t, 10)
	successor := mapAgain(t, fd)
	serving := Owner{Generation: 7, Phase: PhaseServing}
	if !old.Claim(Owner{}, serving) {
		t.Fatal("a fresh arena had an owner")
	}
	if successor.Claim(Owner{}, Owner{Generation: 8, Phase: PhaseServing}) {
		t.Error("a second owner came in")
	}
	byPread, err := ReadOwner(fd)
	if err != nil || byPread != serving || successor.Owner() != serving {
		t.Errorf("read %v (%v) and %v, want %v", byPread, err, successor.Owner(), serving)
	}
}

func TestRecordsAreSharedAndReused(t *testing.T) {
	fd, old := mapped(t, 2)
	r, ok := old.Allocate(42)
	other, ok2 := old.Allocate(43)
	if _, third := old.Allocate(44); !ok || !ok2 || third {
		t.Fatalf("allocated %v, %v, %v, want two of two", ok, ok2, third)
	}
	r.Received(100)
	r.Begin(250)
	r.End(200)
	r.Handle(0xabc00)
	old.Free(other, 43)
	old.Free(other, 43) // twice, as by a worker that comes late

	want := RecordState{ID: 42, Inbound: 100, OutboundBegun: 250, OutboundEnded: 200, Handling: 0xabc00}
	if all, err := ReadRecords(fd); err != nil || len(all) != 1 || all[0] != want {
		t.Errorf("read %+v, %v, want %+v", all, err, want)
	}
	successor := mapAgain(t, fd)
	same, found := successor.Find(42)
	if !found || same.State() != want {
		t.Errorf("found %v, %+v, want %+v", found, same.State(), want)
	}
	if again, ok := successor.Index()[42]; !ok || again != same {
		t.Errorf("the index has %v, %v, want %v", again, ok, same)
	}
	fresh, ok := successor.Allocate(45)
	if state := fresh.State(); !ok || state != (RecordState{ID: 45}) {
		t.Errorf("a reused record holds %+v", state)
	}
	old.Scan()
	if _, ok := old.Allocate(46); ok {
		t.Error("the successor's record was given away")
	}
}

// A message is to blame when worker after worker dies of it, whatever else the
// client says in between; others are not.
func TestBlame(t *testing.T) {
	_, a := mapped(t, 1)
	r, _ := a.Allocate(42)
	const deadly, hello, other = 0x1100, 0x2200, 0x3300
	for i, step := range []struct {
		handling uint64
		want     int
	}{{0, 0}, {deadly, 1}, {0, 0}, {deadly, 2}, {other, 1}, {deadly, 1}, {deadly, 2}, {deadly, 3}} {
		r.Handle(hello)
		r.Handle(0)
		r.Handle(step.handling)
		if got := r.Blame(); got != step.want {
			t.Errorf("death %d: %d, want %d", i, got, step.want)
		}
		if got := r.Blame(); got != 0 {
			t.Errorf("death %d: blamed %d times twice over", i, got)
		}
	}
	for range 2 * maxSuspect {
		r.Handle(deadly)
		r.Blame()
	}
	r.Handle(deadly)
	if got := r.Blame(); got < maxSuspect {
		t.Errorf("after very many deaths %d", got)
	}
}

func TestSound(t *testing.T) {
	s := RecordState{Inbound: 100, OutboundEnded: 200, OutboundBegun: 250}
	for name, c := range map[string]struct {
		read, written uint64
		want          bool
	}{
		"between messages":     {100, 200, true},
		"a whole frame left":   {100, 250, true},
		"half a frame left":    {100, 220, false},
		"half a message read":  {130, 200, false},
		"behind what is known": {90, 200, false},
	} {
		if got := s.Sound(c.read, c.written); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestAnArenaCannotShrink(t *testing.T) {
	fd, _ := mapped(t, 10)
	if err := unix.Ftruncate(fd, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("truncate: %v, want EPERM", err)
	}
}

func TestWhatIsNoArena(t *testing.T) {
	if fd, err := MakeArena(0); err == nil {
		unix.Close(fd)
		t.Error("an arena without records was made")
	}
	for name, content := range map[string]string{"empty": "", "short": "STARENA1", "garbage": string(make([]byte, headerSize+recordSize))} {
		t.Run(name, func(t *testing.T) {
			fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			unix.Write(fd, []byte(content))
			if _, err := MapArena(fd); !errors.Is(err, ErrArena) {
				t.Errorf("map: %v, want ErrArena", err)
			}
			if _, err := ReadRecords(fd); !errors.Is(err, ErrArena) {
				t.Errorf("read: %v, want ErrArena", err)
			}
		})
	}
}

// envRival makes the test binary claim every round of an arena on descriptor
// 3, against its parent.
const envRival = "PROTO_ARENA_RIVAL"

const rivalRounds = 20000

// Two processes that fight for the word never both win: the sum of their
// victories is the number of rounds.
func TestOneOfTwoProcessesWins(t *testing.T) {
	fd, a := mapped(t, 1)
	dup, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(dup), "arena")
	defer file.Close()
	c := exec.Command("/proc/self/exe", "-test.run=^TestOneOfTwoProcessesWins$")
	c.Env = append(os.Environ(), envRival+"=1", "GORACE=atexit_sleep_ms=0")
	c.ExtraFiles = []*os.File{file}
	rival, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ours := fight(a, 1)
	out := make([]byte, 32)
	n, _ := rival.Read(out)
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	theirs, err := strconv.Atoi(string(out[:n]))
	if err != nil || ours+theirs != rivalRounds {
		t.Errorf("we won %d and they %d (%v) of %d rounds", ours, theirs, err, rivalRounds)
	}
}

// fight claims round after round as generation and returns how many it won.
func fight(a *Arena, generation uint32) (won int) {
	for round := uint32(0); round < rivalRounds; {
		now := a.Owner()
		round = now.Swap
		if round < rivalRounds && a.Claim(now, Owner{Generation: generation, Phase: PhaseFrozen, Swap: round + 1}) {
			won++
		}
	}
	return won
}
