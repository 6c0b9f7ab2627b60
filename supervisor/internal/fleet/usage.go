package fleet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// usage measures what processes take. It may be used concurrently.
type usage struct {
	mu    sync.Mutex
	times map[int]sample // by pid
}

// sample is the processor time that a process had taken at some moment, and
// what it took of one processor up to then.
type sample struct {
	at      time.Time
	cpu     time.Duration
	percent float64
}

// measure takes a sample of each process and forgets all others.
func (u *usage) measure(pids []int, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	next := map[int]sample{}
	for _, pid := range pids {
		cpu, err := processorTime(pid)
		if err != nil {
			continue // it has ended
		}
		s := sample{at: now, cpu: cpu}
		if before, known := u.times[pid]; known && now.After(before.at) {
			s.percent = 100 * float64(cpu-before.cpu) / float64(now.Sub(before.at))
		}
		next[pid] = s
	}
	u.times = next
}

// percent is what a process took of one processor lately.
func (u *usage) percent(pid int) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.times[pid].percent
}

// tick is the unit of times in /proc (USER_HZ, time(7)), 100 a second on every
// architecture that Go runs on.
const tick = 10 * time.Millisecond

// processorTime returns the processor time that a process has taken: fields 14
// and 15 of proc_pid_stat(5), counted behind the name, which may hold anything.
func processorTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// residentBytes returns the resident memory of a process, 0 if it has ended
// (proc_pid_statm(5), second field).
func residentBytes(pid int) int64 {
	if pid == 0 {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
