package web

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// tellAll hands what was spent in one process to the others.
func tellAll(from *Limits, to ...*Limits) {
	for spent := from.Spent(100); len(spent) > 0; spent = from.Spent(100) {
		for _, l := range to {
			l.Charge(spent)
		}
	}
}

// takes counts how often one can take from a budget, of at most n times.
func takes(b *budgets, of string, n int) (taken int) {
	for range n {
		if b.take(of) == 0 {
			taken++
		}
	}
	return taken
}

// What was used of an allowance in one process cannot be had again in another,
// and what was used in several at once is owed.
func TestBudgetsAreShared(t *testing.T) {
	one, two, three := NewLimits(), NewLimits(), NewLimits()
	a := userRooms // the slowest
	if got := takes(one.userRooms, "ann", 100); got != a.burst {
		t.Fatalf("took %d, want a burst of %d", got, a.burst)
	}
	tellAll(one, two, three)
	if got := takes(two.userRooms, "ann", 100); got != 0 {
		t.Errorf("took %d more in another process", got)
	}
	if got := takes(two.userRooms, "bob", 100); got != a.burst {
		t.Errorf("somebody else took %d, want %d", got, a.burst)
	}

	for _, l := range []*Limits{one, two, three} {
		takes(l.addressRooms, "cal", 1000)
	}
	tellAll(one, two, three)
	tellAll(two, one, three)
	tellAll(three, one, two)
	for i, l := range []*Limits{one, two, three} {
		if left := l.addressRooms.of("cal").Tokens(); left > -1.9*float64(addressRooms.burst) {
			t.Errorf("process %d: %.0f are left, want two bursts of %d to be owed", i, left, addressRooms.burst)
		}
	}
}

// What is told is told once, in parts that a message holds.
func TestSpendingsAreTold(t *testing.T) {
	l := NewLimits()
	if spent := l.Spent(100); spent != nil {
		t.Errorf("told %v of nothing", spent)
	}
	users := "abcdefghij"
	for _, u := range users {
		l.userLines.take(string(u))
		l.addressLines.take(string(u))
		l.addressLines.take(string(u))
	}
	sum := map[string]int{}
	for {
		spent, n := l.Spent(7), 0
		for name, of := range spent {
			n += len(of)
			for _, used := range of {
				sum[name] += used
			}
		}
		if n > 7 {
			t.Errorf("told of %d users at once, want 7 at most", n)
		}
		if n == 0 {
			break
		}
	}
	if want := len(users); sum["user_lines"] != want || sum["address_lines"] != 2*want || len(sum) != 2 {
		t.Errorf("told %v, want %d and twice that", sum, want)
	}
}

// Whoever lies on the bus can do so much and no more.
func TestFalseSpendings(t *testing.T) {
	l := NewLimits()
	for range 1000 {
		l.Charge(chat.Spendings{"user_lines": {"ann": 1 << 40, "bob": -1 << 40}, "unknown": {"ann": 1}})
	}
	if left := l.userLines.of("ann").Tokens(); left < -(maxDebt+1)*float64(userLines.burst) {
		t.Errorf("%.0f are left", left)
	}
	if left := l.userLines.of("bob").Tokens(); left != float64(userLines.burst) {
		t.Errorf("%.0f are left to whoever used less than nothing", left)
	}
	if takes(l.userLines, "cal", 1) != 1 {
		t.Error("somebody else has to wait")
	}
	if l.userLines.take("ann") == 0 {
		t.Error("what was told did not count")
	}
}

// Whoever has more addresses than can be remembered makes room for others, at a
// cost that does not grow with each.
func TestBudgetsAreBounded(t *testing.T) {
	b := newBudgets(allowance{1.0 / 3600, 2})
	for i := range maxBudgets + 2*spareBudgets {
		if wait := b.take(fmt.Sprint(i)); wait != 0 {
			t.Fatalf("the first of %d has to wait %v", i, wait)
		}
		if len(b.left) > maxBudgets {
			t.Fatalf("%d are remembered", len(b.left))
		}
		if i == maxBudgets && len(b.left) > maxBudgets-spareBudgets+1 {
			t.Fatalf("after %d there is room for %d", i, maxBudgets-len(b.left))
		}
	}
}

func TestNamesAreNotRemembered(t *testing.T) {
	l := NewLimits()
	from := client{netip.MustParsePrefix("2001:db8:1:2::/64")}
	l.try(strings.Repeat("x", maxBody), from)
	for _, b := range []*budgets{l.triesHere, l.tries} {
		if len(b.left) != 1 {
			t.Errorf("%d tries are remembered, want 1", len(b.left))
		}
		for of := range b.left {
			if len(of) > 64 {
				t.Errorf("%d bytes are remembered of a try", len(of))
			}
		}
	}
	wait := l.try("ANN", from)
	for range triesHere.burst {
		wait = l.try("\uff21nn", from) // the same name
	}
	if wait == 0 {
		t.Error("a name in another form has tries of its own")
	}
}
