package record

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Kinds of files that are set aside; each has its own numbers.
const (
	broken = "broken"
	newer  = "newer"
)

const keepBroken = 5

// setAside renames the file from, which is path or path.old, to
// path.KIND-NUMBER, and removes the oldest broken ones beyond [keepBroken].
// Numbers are used rather than times, because a machine without power may start
// without a clock. When the file was written its own time tells.
func setAside(path, from, kind string) (string, error) {
	if err := regular(from); err != nil {
		return "", err
	}
	prefix := path + "." + kind + "-"
	numbers, err := asideNumbers(prefix)
	if err != nil {
		return "", err
	}
	to := prefix + strconv.Itoa(slices.Max(append(numbers, 0))+1)
	if err := os.Rename(from, to); err != nil {
		return "", err
	}
	if kind == broken {
		for _, n := range numbers[:max(0, len(numbers)+1-keepBroken)] {
			os.Remove(prefix + strconv.Itoa(n)) // one too many harms nobody
		}
	}
	return to, nil
}

// asideNumbers returns, in order, the numbers behind prefix that are taken.
func asideNumbers(prefix string) ([]int, error) {
	dir, base := filepath.Split(prefix)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil, fmt.Errorf("number of the next %s: %w", base, err)
	}
	var numbers []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), base)
		if n, err := strconv.Atoi(digits); ok && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
