package web

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

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
	l := newLimits()
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
