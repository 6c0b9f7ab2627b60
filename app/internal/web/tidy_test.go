package web

import (
	"slices"
	"testing"
)

func TestMemoryIsGivenBackOnceACrowdHasSettled(t *testing.T) {
	var crowd tidy
	var given []int
	look := 0
	stays := func(conns, looks int) {
		for range looks {
			look++
			if crowd.due(conns) {
				given = append(given, look)
			}
		}
	}
	for n := 100; n < 5000; n += 100 { // it arrives
		stays(n, 1)
	}
	stays(5000, 20)
	stays(5010, 20) // nothing of note
	stays(30, 20)   // it has left
	var want []int
	for _, settled := range []int{49 + 1 + tidyCalm, 49 + 40 + 1 + tidyCalm} {
		for i := range tidyTimes {
			want = append(want, settled+i)
		}
	}
	if !slices.Equal(given, want) {
		t.Errorf("given back at looks %v, want %v", given, want)
	}
}
