package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/record"
)

// release lets go of all that was taken, for good.
func (x *torture) release() {
	for _, c := range x.held {
		c.Close()
	}
	x.held = nil
	for pid := range x.family() {
		syscall.Kill(pid, syscall.SIGCONT)
	}
}

// checkSettled waits until all that was begun has ended, and looks whether
// everything is as it was asked to be.
func (x *torture) checkSettled() {
	for _, name := range slices.Sorted(maps.Keys(x.want)) {
		x.call([]int{0}, "reset", name) // whoever waits after many crashes is started now
	}
	var why string
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		st, err := x.status()
		if err != nil {
			x.t.Fatal(err)
		}
		if why = x.unsettled(st); why == "" {
			break
		}
		if time.Now().After(end) {
			x.t.Fatalf("not settled within %s: %s\n%+v", patience, why, st.Programs)
		}
	}
	st, err := x.status()
	if err != nil {
		x.t.Fatal(err)
	}
	for _, d := range st.Deploys {
		switch {
		case d.Verdict == "accepted", d.Verdict == "rejected" && d.Reason != "", d.Verdict == "returned" && d.Reason != "":
		case d.Verdict == "pending" && !configured(d.Program): // it bakes for long
		default:
			x.t.Errorf("deploy without a verdict or a reason: %+v", d)
		}
	}
	for name, w := range x.want {
		if w == runs {
			x.checkAnswers(name)
		}
	}
	x.checkRecord()
}

// unsettled is what is not yet as it is to be.
func (x *torture) unsettled(st status) string {
	if len(st.Programs) != len(x.want) {
		return fmt.Sprintf("%d programs, want %v", len(st.Programs), x.want)
	}
	workers := map[int]bool{}
	for _, p := range st.Programs {
		w, known := x.want[p.Name]
		switch {
		case !known:
			return p.Name + " is there"
		case w == runs && len(p.Instances) != max(x.copies[p.Name], 1):
			return fmt.Sprintf("%s has %d instances, want %d", p.Name, len(p.Instances), x.copies[p.Name])
		}
		for _, i := range p.Instances {
			serves := i.State == "running" || i.State == "baking" && !configured(p.Name)
			if w == runs && !serves || w == stopped && i.State != "stopped" || !serves && i.State != "stopped" ||
				len(i.Draining) > 0 || serves != (i.PID != 0) {
				return fmt.Sprintf("%s: %+v", p.Name, i)
			}
			if i.PID != 0 {
				workers[i.PID] = true
			}
		}
	}
	for pid, p := range x.family() {
		if pid != x.process.Process.Pid && !workers[p.group] && !workers[keeps(pid)] {
			return fmt.Sprintf("process %d %s is nobody's", pid, p.name)
		}
	}
	for _, d := range st.Deploys {
		if d.Verdict == "pending" && configured(d.Program) {
			return fmt.Sprintf("%+v", d)
		}
	}
	return ""
}

// checkAnswers asks a program.
func (x *torture) checkAnswers(name string) {
	x.t.Helper()
	switch name {
	case "plain":
	case "chat":
		x.mustHealth()
	default:
		if got := x.greeting(name); !strings.HasPrefix(got, "build ") {
			x.t.Errorf("%s says %q", name, got)
		}
	}
}

// greeting is what a program says to whoever connects.
func (x *torture) greeting(listener string) string {
	x.t.Helper()
	c, err := net.DialTimeout("tcp", x.address(listener), patience)
	if err != nil {
		x.t.Errorf("%s: %v", listener, err)
		return ""
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		x.t.Errorf("%s: %v", listener, err)
	}
	return line
}

func (x *torture) address(listener string) string {
	x.t.Helper()
	st, err := x.status()
	if err != nil {
		x.t.Fatal(err)
	}
	for _, l := range st.Listen {
		if l.Name == listener {
			return l.Address
		}
	}
	x.t.Errorf("no listener %s in %+v", listener, st.Listen)
	return ""
}

// checkRecord looks whether the next start of the supervisor would find what
// there is now.
func (x *torture) checkRecord() {
	x.t.Helper()
	folder := x.state()
	if x.disk != "" {
		folder = x.disk
	}
	content, err := os.ReadFile(filepath.Join(folder, "supervisor.json"))
	if errors.Is(err, os.ErrNotExist) && x.added == 0 {
		return
	}
	copied := filepath.Join(x.t.TempDir(), "supervisor.json")
	if err == nil {
		err = os.WriteFile(copied, content, 0o600)
	}
	if err != nil {
		x.t.Error(err)
		return
	}
	store, finding, err := record.Open(copied)
	if err != nil || finding.Outcome != record.Loaded {
		x.t.Errorf("the record is %s: %v", finding, err)
		return
	}
	r := store.Record()
	if got, want := slices.Sorted(maps.Keys(r.Added)), x.atRun(); !slices.Equal(got, want) {
		x.t.Errorf("recorded as added: %q, want %q", got, want)
	}
	if !maps.Equal(r.Scaled, x.copies) {
		x.t.Errorf("recorded as scaled: %v, want %v", r.Scaled, x.copies)
	}
	for name, w := range x.want {
		if w != unknown && r.Stopped[name] != (w == stopped) {
			x.t.Errorf("%s: recorded as stopped: %t, want %v", name, r.Stopped[name], w)
		}
	}
}

// restore brings everything back to how it began.
func (x *torture) restore() {
	for _, name := range x.atRun() {
		x.forget(name)
	}
	x.extra, x.renewing = false, false
	x.configure("")
	for name := range x.good {
		x.call([]int{0}, "start", name)
		x.call([]int{0}, "scale", name, "1")
		x.copies[name] = 1
	}
	x.want = map[string]wanted{"chat": runs, "echo": runs, "plain": runs}
	x.time()
	x.call([]int{0}, "reload", "--wait")
	x.call([]int{0}, "reload", "--wait") // each has an earlier build now
	x.checkSettled()
}

// awaitAll waits until every program is in that state.
func (x *torture) awaitAll(state string) {
	x.t.Helper()
	x.eventually("every program is "+state, func() bool {
		st, err := x.status()
		return err == nil && len(st.Programs) == len(x.want) &&
			!slices.ContainsFunc(st.Programs, func(p program) bool { return p.Instances[0].State != state })
	})
}

// probe asks the chat for a page all the time, until the returned function is
// called.
func (x *torture) probe() (end func() *prober) {
	p := &prober{addr: x.addr}
	ctx, stop := context.WithCancel(context.Background())
	var probing sync.WaitGroup
	probing.Go(func() { p.run(ctx, 30) })
	x.t.Cleanup(func() { stop(); probing.Wait() })
	return func() *prober { stop(); probing.Wait(); return p }
}

func (x *torture) checkProbes(p *prober) {
	x.t.Helper()
	if p.refused > 0 {
		x.t.Errorf("%d requests were refused", p.refused)
	}
	for _, f := range p.unexplained(x.hurt) {
		x.t.Errorf("a request failed without a reason: %v", f)
	}
	x.t.Logf("%d requests answered, %d failed", p.ok, len(p.failures))
}

// relative is a process of the supervisor's session.
type relative struct {
	name          string
	parent, group int
}

// family is every process of the supervisor's session, by pid, zombies
// included (proc_pid_stat(5)).
func (x *torture) family() map[int]relative {
	all := map[int]relative{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		open, shut := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		var state string
		var r relative
		var session int
		fmt.Sscan(string(stat[shut+1:]), &state, &r.parent, &r.group, &session)
		if session == x.process.Process.Pid {
			pid, _ := strconv.Atoi(string(bytes.TrimSpace(stat[:open])))
			r.name = string(stat[open+1 : shut])
			all[pid] = r
		}
	}
	return all
}

// keeps is the worker whose keeper a process is, 0 if it is none.
func keeps(pid int) (worker int) {
	command, err := os.ReadFile(procDir(pid) + "/cmdline")
	fields := strings.Split(string(command), "\x00")
	if err != nil || len(fields) < 2 || fields[0] != "simpletalk-keeper" {
		return 0
	}
	worker, _ = strconv.Atoi(fields[1])
	return worker
}

// footprint is what a supervisor takes of the machine.
type footprint struct {
	descriptors []string
	threads     int
	resident    int64
}

func (x *torture) footprint() footprint {
	x.t.Helper()
	pid := x.process.Process.Pid
	threads, err := os.ReadDir(procDir(pid) + "/task")
	if err != nil {
		x.t.Fatal(err)
	}
	return footprint{x.descriptors(), len(threads), resident(x.t, pid)}
}

// descriptors tells what the supervisor's descriptors refer to.
func (x *torture) descriptors() []string {
	var all []string
	dir := procDir(x.process.Process.Pid) + "/fd"
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			all = append(all, to)
		}
	}
	return all
}

// checkFootprint holds what the supervisor takes against what it took. Threads
// are never given back, and the collector keeps some memory.
func (x *torture) checkFootprint(before footprint) {
	x.t.Helper()
	for end := time.Now().Add(5 * time.Second); len(x.descriptors()) > len(before.descriptors) && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	now := x.footprint()
	x.t.Logf("%d descriptors, %d threads, %.1f MB; before %d, %d, %.1f MB", len(now.descriptors), now.threads, float64(now.resident)/1e6,
		len(before.descriptors), before.threads, float64(before.resident)/1e6)
	if len(now.descriptors) > len(before.descriptors) {
		x.t.Errorf("%d descriptors, %d before:\n%q\n%q", len(now.descriptors), len(before.descriptors), now.descriptors, before.descriptors)
	}
	if now.threads > before.threads+25 {
		x.t.Errorf("%d threads, %d before", now.threads, before.threads)
	}
	allowed := int64(20e6)
	if raceBuild {
		allowed = 150e6
	}
	if now.resident > before.resident+allowed {
		x.t.Errorf("%d bytes resident, %d before", now.resident, before.resident)
	}
}

// checkEnd stops the supervisor, of which nothing may be left.
func (x *torture) checkEnd() {
	x.t.Helper()
	x.signal(syscall.SIGTERM)
	select {
	case <-x.ended:
	case <-time.After(patience):
		x.t.Fatal("the supervisor did not stop")
	}
	for pid, p := range x.family() {
		x.t.Errorf("process %d %s is left", pid, p.name)
	}
}
