package web

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

// TestPingsAreSpread: of 5000 clients that come at once no second pings many more
// than its share.
func TestPingsAreSpread(t *testing.T) {
	const clients, every = 5000, 24 * time.Second
	inSecond := map[int]int{}
	for i := range clients {
		p := phaseOf(sha256.Sum256([]byte(fmt.Sprint(i))), every)
		if p < 0 || p >= every/4 {
			t.Fatalf("phase %v is out of a quarter of %v", p, every)
		}
		inSecond[int(p/time.Second)]++
	}
	for s := range 6 {
		if n := inSecond[s]; n > clients/6*6/5 {
			t.Errorf("%d of %d are pinged in second %d of 6", n, clients, s)
		}
	}
}
