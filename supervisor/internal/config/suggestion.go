package config

import (
	"slices"
	"strings"
)

// suggest ends a mistake about an unknown word: with the known one that was
// probably meant, else with all that are known.
func suggest(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return ": did you mean " + near + "?"
	}
	if len(known) == 0 {
		return ": there is none at all"
	}
	return ", known are " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// maxSlips is how many letters a typing mistake may have wrong.
const maxSlips = 2

// nearest returns the known word that is the fewest slips away, "" if none is
// near. Of a short word more must be right than wrong.
func nearest(word string, known []string) string {
	best, fewest := "", maxSlips+1
	for _, k := range known {
		if max(len(k)-len(word), len(word)-len(k)) > maxSlips {
			continue // so that a word of a megabyte costs nothing
		}
		if n := slips(word, k); n < fewest && 2*n <= len(k) {
			best, fewest = k, n
		}
	}
	return best
}

// slips is the Levenshtein distance: how many bytes must be inserted, removed
// or replaced to make b of a.
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
