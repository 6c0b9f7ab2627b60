package logs

import (
	"fmt"
	"strings"
	"testing"
)

// all are the lines of a ring, as Save sees them.
func all(r *Ring) string { return r.Save(1 << 30) }

func TestARingIsCarriedToAnother(t *testing.T) {
	from, to := NewRing(0), NewRing(0)
	for i := range 300 {
		from.Add(Origin{Gen: i % 3, Instance: i % 4, Several: i%5 == 0}, i%2 == 0, fmt.Appendf(nil, "line %d \"é\"", i))
	}
	if err := to.Load(all(from)); err != nil {
		t.Fatal(err)
	}
	if got, want := all(to), all(from); got != want || strings.Count(got, "\n") != 300 || strings.Count(got, "instance") != 60 {
		t.Errorf("carried:\n%.300s\nwas:\n%.300s", got, want)
	}
}

func TestOnlyTheNewestLinesAreCarried(t *testing.T) {
	from := NewRing(0)
	for i := range 100 {
		from.Add(Origin{Gen: 1}, false, fmt.Appendf(nil, "line %d", i))
	}
	text := from.Save(1000)
	if len(text) > 1000 || !strings.Contains(text, "line 99") || strings.Contains(text, "line 1\"") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	if all := NewRing(0).Save(10); all != "" {
		t.Errorf("of an empty ring: %q", all)
	}
	if err := NewRing(0).Load("no line\n"); err == nil {
		t.Error("what is no line was loaded")
	}
}
