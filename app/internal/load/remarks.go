package load

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// remarks collects what else happened, for a person to read: the counters say
// how often something went wrong, these say what.
type remarks struct {
	mu     sync.Mutex
	counts map[string]int
}

// maxRemarks is how many different ones are kept and told.
const maxRemarks = 8

// add notes an error, where it happened first.
func (r *remarks) add(where string, err error) {
	text := where + ": " + innermost(err).Error()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	if r.counts[text] > 0 || len(r.counts) < maxRemarks {
		r.counts[text]++
	}
}

// innermost leaves out what differs from connection to connection: addresses.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// list returns the remarks, the most frequent first.
func (r *remarks) list() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	texts := slices.SortedFunc(maps.Keys(r.counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.counts[b], r.counts[a]), cmp.Compare(a, b))
	})
	for _, t := range texts {
		all = append(all, fmt.Sprintf("%d× %s", r.counts[t], t))
	}
	return all
}
