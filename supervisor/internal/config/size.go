package config

import (
	"math"
	"strconv"
	"strings"
)

const (
	kibi = 1 << 10
	mebi = 1 << 20
	gibi = 1 << 30
)

// parseSize reads a number of bytes. K, M and G are powers of 1024, as systemd
// and the kernel's memory.max have them: a figure may be copied between here
// and a unit. A library that takes 400M for 400 million would be stricter than
// asked.
func parseSize(s string) (n int64, ok bool) {
	unit := int64(1)
	for suffix, size := range map[string]int64{"K": kibi, "M": mebi, "G": gibi} {
		if digits, found := strings.CutSuffix(s, suffix); found {
			s, unit = digits, size
			break
		}
	}
	u, err := strconv.ParseUint(s, 10, 63)
	if err != nil || int64(u) > math.MaxInt64/unit {
		return 0, false
	}
	return int64(u) * unit, true
}

// Megabytes is a size that was measured, in the unit of [FormatSize].
func Megabytes(n int64) string { return strconv.FormatFloat(float64(n)/mebi, 'f', 1, 64) + "M" }

// FormatSize is the shortest way to write a number of bytes in a configuration.
func FormatSize(n int64) string {
	switch {
	case n != 0 && n%gibi == 0:
		return strconv.FormatInt(n/gibi, 10) + "G"
	case n != 0 && n%mebi == 0:
		return strconv.FormatInt(n/mebi, 10) + "M"
	case n != 0 && n%kibi == 0:
		return strconv.FormatInt(n/kibi, 10) + "K"
	}
	return strconv.FormatInt(n, 10)
}
