package load

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets whose width is at most 1/32 of their
// place. Its methods may be called concurrently; recording takes no lock.
type histogram struct {
	buckets [32 * 38]atomic.Int64
	max     atomic.Int64 // microseconds
}

// record counts a duration of µs microseconds.
func (h *histogram) record(µs int64) {
	µs = max(µs, 0)
	h.buckets[min(bucketOf(µs), len(h.buckets)-1)].Add(1)
	for {
		old := h.max.Load()
		if µs <= old || h.max.CompareAndSwap(old, µs) {
			return
		}
	}
}

// bucketOf is exact below 32; above it the exponent and the five bits behind
// the first choose.
func bucketOf(µs int64) int {
	if µs < 32 {
		return int(µs)
	}
	shift := bits.Len64(uint64(µs)) - 6
	return 32*shift + int(µs>>shift)
}

// endOf is the largest value of a bucket.
func endOf(bucket int) int64 {
	if bucket < 64 {
		return int64(bucket)
	}
	shift := bucket/32 - 1
	return (int64(bucket-32*shift)+1)<<shift - 1
}

// quantile returns the duration that q of all do not exceed, 0 when there is
// none.
func (h *histogram) quantile(q float64) time.Duration {
	var total int64
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	if total == 0 {
		return 0
	}
	rank := int64(q * float64(total))
	for i := range h.buckets {
		if rank -= h.buckets[i].Load(); rank < 0 {
			return time.Duration(min(endOf(i), h.max.Load())) * time.Microsecond
		}
	}
	return h.longest()
}

func (h *histogram) longest() time.Duration {
	return time.Duration(h.max.Load()) * time.Microsecond
}
