package chat

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func event(seq int64, text string) Event { return Event{Room: "lobby", Seq: seq, Text: text} }

// TestTail adds events of every size and reads from every seq that is held.
func TestTail(t *testing.T) {
	tl := emptyTail(7)
	if tl.holds(6) || !tl.holds(7) {
		t.Errorf("an empty tail at 7 holds 6: %v, 7: %v", tl.holds(6), tl.holds(7))
	}
	for seq := int64(8); seq < 1500; seq++ {
		before := tl
		tl = tl.with([]Event{event(seq, strings.Repeat("x", int(seq%700)))})
		if before.head != seq-1 {
			t.Fatalf("an older tail has changed: its head is %d", before.head)
		}
		if tl.head != seq || len(tl.ends) > 2*tailEvents || len(tl.lines) > 2*tailBytes {
			t.Fatalf("at %d: head %d, %d events, %d bytes", seq, tl.head, len(tl.ends), len(tl.lines))
		}
	}
	for from := tl.first - 1; from < tl.head; from++ {
		for _, limit := range []int{0, 1000, 1 << 20} {
			lines, last := tl.after(from, limit)
			parts := wire.Lines(lines)
			if int64(len(parts)) != last-from || len(parts) > 1 && len(lines) > limit {
				t.Fatalf("after(%d, %d): %d lines, %d bytes, last %d", from, limit, len(parts), len(lines), last)
			}
			if want := fmt.Sprintf(`"seq":%d,`, from+1); !bytes.Contains(parts[0], []byte(want)) {
				t.Fatalf("after(%d): begins with %.60s", from, parts[0])
			}
		}
	}
}

func TestTailLeavesOutWhatDoesNotFollow(t *testing.T) {
	tl := emptyTail(3).with([]Event{event(3, "old"), event(5, "gap"), event(4, "next"), event(6, "gap")})
	if tl.head != 4 || tl.first != 4 {
		t.Errorf("got %d to %d, want 4 alone", tl.first, tl.head)
	}
}

func TestTailKeepsOneLargeLine(t *testing.T) {
	tl := emptyTail(0)
	for seq := int64(1); seq < 4; seq++ {
		tl = tl.with([]Event{event(seq, strings.Repeat("x", 3*tailBytes))})
	}
	if tl.first != 3 || tl.head != 3 {
		t.Errorf("got %d to %d, want 3 alone", tl.first, tl.head)
	}
}
