package config

import (
	"math"
	"testing"
)

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1": 1, "1000": 1000, "64K": 64 << 10, "400M": 400 << 20, "3G": 3 << 30, "9223372036854775807": math.MaxInt64, "8589934591G": 8589934591 << 30,
	} {
		if got, ok := parseSize(s); !ok || got != want {
			t.Errorf("%s: %d, %v; want %d", s, got, ok, want)
		}
		if again, ok := parseSize(FormatSize(want)); !ok || again != want {
			t.Errorf("%d is written %s, which is %d, %v", want, FormatSize(want), again, ok)
		}
	}
	for _, s := range []string{"", "M", "-1", "+1", "1.5G", "1,000", "1_000", "0x10", "1 M", "1MB", "1MiB", "1k", "9223372036854775808", "8589934592G"} {
		if got, ok := parseSize(s); ok {
			t.Errorf("%q was taken for %d", s, got)
		}
	}
}
