package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

func follow(ctx context.Context, b *Book, id string) (steps []string, err error) {
	err = b.Follow(ctx, id, func(s control.Step) error {
		steps = append(steps, s.Step)
		return nil
	})
	return steps, err
}

func TestEveryFollowerSeesTheWholeTimeline(t *testing.T) {
	var b Book
	d := b.open("chat")
	want := []string{"requested"}
	var followers sync.WaitGroup
	var seen [20][]string
	for i := range seen {
		followers.Go(func() {
			var err error
			if seen[i], err = follow(t.Context(), &b, d.record.ID); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range 30 {
		name := fmt.Sprint("step", i)
		b.step(d, name, "")
		want = append(want, name)
	}
	b.conclude(d, control.Rejected, because("why"))
	want = append(want, "rejected")
	followers.Wait()
	late, err := follow(t.Context(), &b, d.record.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, steps := range append(seen[:], late) {
		if !slices.Equal(steps, want) {
			t.Errorf("a follower saw %v, want %v", steps, want)
		}
	}
}

func TestFollowEnds(t *testing.T) {
	var b Book
	d := b.open("chat")
	t.Run("for an unknown id", func(t *testing.T) {
		if _, err := follow(t.Context(), &b, "nosuch"); !errors.Is(err, control.ErrNoDeploy) {
			t.Errorf("got %v, want ErrNoDeploy", err)
		}
	})
	t.Run("with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := follow(ctx, &b, d.record.ID); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	t.Run("with its listener's error", func(t *testing.T) {
		left := errors.New("left")
		if err := b.Follow(t.Context(), d.record.ID, func(control.Step) error { return left }); !errors.Is(err, left) {
			t.Errorf("got %v, want the listener's error", err)
		}
	})
}

func TestTheBookIsBounded(t *testing.T) {
	var b Book
	first := b.open("chat").record.ID
	ids := map[string]bool{first: true}
	for range kept {
		ids[b.open("chat").record.ID] = true
	}
	if len(ids) != kept+1 {
		t.Errorf("%d different ids of %d", len(ids), kept+1)
	}
	if n := len(b.Deploys()); n != kept {
		t.Errorf("%d deploys are kept, want %d", n, kept)
	}
	if _, err := follow(t.Context(), &b, first); !errors.Is(err, control.ErrNoDeploy) {
		t.Errorf("the oldest: %v, want ErrNoDeploy", err)
	}
}

func TestAFollowerKeepsADeployThatTheBookForgets(t *testing.T) {
	var b Book
	d := b.open("chat")
	began := make(chan struct{}, 3)
	done := make(chan error, 1)
	go func() {
		done <- b.Follow(t.Context(), d.record.ID, func(control.Step) error { began <- struct{}{}; return nil })
	}()
	<-began
	for range kept {
		b.open("chat")
	}
	b.conclude(d, control.Accepted, cause{})
	if err := <-done; err != nil {
		t.Errorf("got %v, want the verdict", err)
	}
}

func TestNobodysDeployIsIgnored(t *testing.T) {
	var b Book
	b.step(nil, "pinned", "")
	b.swapped(nil)
	b.supersede(nil, nil)
	b.conclude(nil, control.Accepted, cause{})
	if n := len(b.Deploys()); n != 0 {
		t.Errorf("%d deploys", n)
	}
}

func TestABookIsRestored(t *testing.T) {
	var before, b Book
	d := before.open("chat")
	before.conclude(d, control.Returned, cause{"it hung", []string{"last words"}})
	lost := before.open("chat").record.ID
	earlier, goesOn := before.open("chat"), before.open("chat")
	before.supersede(earlier, goesOn)
	before.step(goesOn, "pinned", "/srv/app")
	entries := jsonRoundTrip(t, before.Entries())
	changed := b.Changed()
	b.Restore(entries)
	select {
	case <-changed:
	default:
		t.Error("no change is told")
	}
	got := b.Deploys()
	if len(got) != 4 || got[0].Verdict != control.Returned || got[0].Reason != d.record.Reason || got[0].Output[0] != "last words" {
		t.Errorf("restored %+v", got)
	}
	if b.goOn(d.record.ID) != nil || b.goOn("") != nil {
		t.Error("a deploy goes on that has its verdict, or none")
	}
	again := b.goOn(goesOn.record.ID)
	b.RejectRest("the supervisor ended before the verdict")
	if steps, err := follow(t.Context(), &b, lost); err != nil || !slices.Equal(steps, []string{"requested", "rejected"}) || b.Deploys()[1].Reason != "the supervisor ended before the verdict" {
		t.Errorf("who waited is told %v, %v: %+v", steps, err, b.Deploys()[1])
	}
	b.conclude(again, control.Accepted, cause{})
	for id, want := range map[string][]string{
		goesOn.record.ID:  {"requested", "pinned", "accepted"},
		earlier.record.ID: {"requested", "superseded", "pinned", "accepted"},
	} {
		if steps, err := follow(t.Context(), &b, id); err != nil || !slices.Equal(steps, want) {
			t.Errorf("who waited is told %v, %v; want %v", steps, err, want)
		}
	}
	if b.open("chat"); len(b.Deploys()) != 5 {
		t.Errorf("%d deploys", len(b.Deploys()))
	}
}

// jsonRoundTrip is what entries are once they have been written and read.
func jsonRoundTrip(t *testing.T, entries []Entry) (read []Entry) {
	t.Helper()
	text, err := json.Marshal(entries)
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err != nil {
		t.Fatal(err)
	}
	return read
}
