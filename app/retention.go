//go:build linux

package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// parseRetention reads what each room keeps: "age=90d,posts=100000", either of
// them alone, or nothing for everything. All mistakes are told.
func parseRetention(s string) (limits chat.Limits, err error) {
	seen := map[string]bool{}
	for _, part := range split(s) {
		key, value, _ := strings.Cut(part, "=")
		var bad error
		switch {
		case seen[key]:
			bad = fmt.Errorf("%q is given twice", key)
		case key == "age":
			limits.Age, bad = parseAge(value)
		case key == "posts":
			limits.Posts, bad = parsePosts(value)
		default:
			bad = fmt.Errorf("%q is no limit, age=90d and posts=100000 are", part)
		}
		seen[key] = true
		err = errors.Join(err, bad)
	}
	return limits, err
}

// maxAgeDays keeps an age within what a duration can hold.
const maxAgeDays = math.MaxInt64 / int64(24*time.Hour)

// parseAge reads 90d or whatever [time.ParseDuration] reads.
func parseAge(s string) (age time.Duration, err error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, bad := strconv.ParseInt(days, 10, 64)
		if bad == nil && n <= maxAgeDays {
			age = time.Duration(n) * 24 * time.Hour
		}
	} else {
		age, _ = time.ParseDuration(s)
	}
	if age < time.Minute {
		return 0, fmt.Errorf("age=%s must be a time of a minute at least, such as 90d or 12h", s)
	}
	return age, nil
}

func parsePosts(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("posts=%s must be a number from 1", s)
	}
	return n, nil
}
