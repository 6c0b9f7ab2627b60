package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

// turns are what may happen next, each as often as it is named.
var turns = []func(*torture){
	(*torture).reload, (*torture).reload, (*torture).reloadAll, (*torture).storm,
	(*torture).rollback, (*torture).stop, (*torture).start, (*torture).start, (*torture).restart,
	(*torture).add, (*torture).add, (*torture).addBad, (*torture).remove,
	(*torture).sendSignal, (*torture).reset, (*torture).kill, (*torture).kill, (*torture).suspend,
	(*torture).badBuild, (*torture).badBuild, (*torture).badConfig, (*torture).reconfigure, (*torture).changeEnv,
	(*torture).look, (*torture).follow, (*torture).garbage, (*torture).fillDisk, (*torture).exhaust, (*torture).mistakes,
	(*torture).scale, (*torture).scale, (*torture).save, (*torture).fillLogs, (*torture).turnLogs, (*torture).scrape,
}

// turn does one thing.
func (x *torture) turn() {
	turns[x.rng.IntN(len(turns))](x)
	x.turns++
	x.time()
}

// time keeps when the chat does not run.
func (x *torture) time() {
	switch {
	case x.want["chat"] != runs && x.down.IsZero():
		x.down = time.Now()
	case x.want["chat"] == runs && !x.down.IsZero():
		x.hurt = append(x.hurt, span{x.down, time.Now()})
		x.down = time.Time{}
	}
}

// hurting does what a request to the chat may not survive, if it is done to the
// chat.
func (x *torture) hurting(program string, do func()) {
	from := time.Now()
	do()
	if program == "chat" {
		x.hurt = append(x.hurt, span{from, time.Now()})
	}
}

func (x *torture) reload() {
	p := x.pick()
	if builds := x.good[p]; builds != nil {
		x.place(p, builds[x.rng.IntN(2)])
	}
	args := []string{"reload", p}
	if configured(p) && x.rng.IntN(3) > 0 {
		args = append(args, "--wait")
	}
	x.call([]int{0}, args...)
	x.want[p] = runs
}

func (x *torture) reloadAll() {
	if x.rng.IntN(2) == 0 {
		x.signal(syscall.SIGHUP)
		return
	}
	x.call(x.codesOfAll(), "reload")
}

// codesOfAll are the exit codes of a reload of everything: it is refused when
// everything is stopped.
func (x *torture) codesOfAll() []int {
	for _, w := range x.want {
		if w == runs {
			return []int{0}
		}
	}
	return []int{0, 1}
}

func (x *torture) storm() {
	x.note("storm")
	for range 20 {
		x.signal(syscall.SIGHUP)
		time.Sleep(50 * time.Millisecond)
	}
}

func (x *torture) rollback() {
	p := x.pick()
	args := []string{"rollback", p}
	if configured(p) {
		args = append(args, "--wait")
	}
	if _, code := x.call([]int{0, 3}, args...); x.want[p] != runs {
		x.want[p] = unknown
		if code == 0 && configured(p) {
			x.want[p] = runs
		}
	}
}

func (x *torture) stop() {
	p := x.pick()
	x.hurting(p, func() { x.call([]int{0}, "stop", p) })
	x.want[p] = stopped
}

func (x *torture) start() {
	p := x.pick()
	x.call([]int{0}, "start", p)
	x.want[p] = runs
}

func (x *torture) restart() {
	p := x.pick()
	x.hurting(p, func() { x.call([]int{0}, "restart", p) })
	x.want[p] = runs
}

func (x *torture) scale() {
	p, n := x.pick(), 1+x.rng.IntN(3)
	codes := []int{0}
	if x.want[p] != runs {
		codes = []int{0, 1} // it is stopped
	}
	if _, code := x.call(codes, "scale", p, strconv.Itoa(n)); code == 0 {
		x.copies[p] = n
	}
}

func (x *torture) name() string {
	x.added++
	return fmt.Sprintf("at-run-%d", x.added)
}

func (x *torture) add() {
	if len(x.atRun()) > 2 {
		x.remove()
		return
	}
	name := x.name()
	x.call([]int{0}, "start", "--name", name, "--listen", name+"=127.0.0.1:0", "--env", "MODE=added", "--", binaries.tiny(x.t, "aaaa"), "serve")
	x.want[name] = runs
}

func (x *torture) addBad() {
	name := x.name()
	x.call([]int{1}, "start", "--name", name, "--", x.bad["crashes"])
	x.call([]int{0}, "delete", name)
}

func (x *torture) remove() {
	if all := x.atRun(); len(all) > 0 {
		p := all[x.rng.IntN(len(all))]
		x.forget(p)
	}
}

func (x *torture) forget(program string) {
	x.call([]int{0}, "delete", program)
	delete(x.want, program)
	delete(x.copies, program)
}

func (x *torture) sendSignal() {
	p := x.pick()
	signals := []string{"CONT", "SIGWINCH"}
	if p != "chat" {
		signals = append(signals, "KILL", "KILL")
	}
	if p == "plain" {
		signals = append(signals, "TERM") // it ends by itself, with code 0
	}
	sig := signals[x.rng.IntN(len(signals))]
	x.call([]int{0, 1}, "signal", sig, p)
	if sig == "TERM" {
		x.want[p] = unknown
	}
}

func (x *torture) reset() { x.call([]int{0}, "reset", x.pick()) }

// serving is the pid of one of a program's workers, 0 if there is none.
func (x *torture) serving(program string) int {
	x.t.Helper()
	st, err := x.status()
	if err != nil {
		x.t.Error(err)
	}
	for _, p := range st.Programs {
		if p.Name != program {
			continue
		}
		pid := p.Instances[x.rng.IntN(len(p.Instances))].PID
		if x.family()[pid].parent == x.process.Process.Pid {
			return pid
		}
	}
	return 0
}

func (x *torture) kill() {
	p := x.pick()
	pid := x.serving(p)
	if pid == 0 {
		return
	}
	x.note("kill %s, %d", p, pid)
	x.hurting(p, func() {
		kill(pid)
		x.eventually("the killed process is gone", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	})
}

// suspend stops a worker for less than it takes to be found hanging.
func (x *torture) suspend() {
	p := x.pick()
	pid := x.serving(p)
	if pid == 0 {
		return
	}
	x.note("suspend %s, %d", p, pid)
	suspend(pid)
	if x.rng.IntN(2) == 0 {
		x.call([]int{0}, "reload", p)
		x.want[p] = runs
	}
	time.Sleep(time.Duration(x.rng.IntN(500)) * time.Millisecond)
	syscall.Kill(pid, syscall.SIGCONT)
}

func (x *torture) badBuild() {
	p := slices.Sorted(maps.Keys(x.good))[x.rng.IntN(len(x.good))]
	what := slices.Sorted(maps.Keys(x.bad))[x.rng.IntN(len(x.bad))]
	codes := []int{3}
	if what == "crashes late" {
		codes = []int{0, 4} // the bake may be over on a busy machine
		if x.copies[p] > 1 {
			codes = append(codes, 3) // one may crash before another is ready
		}
	}
	x.place(p, x.bad[what])
	x.note("%s gets a build that is bad: %s", p, what)
	x.call(codes, "reload", "--wait", p)
	x.place(p, x.good[p][0])
	x.call([]int{0}, "reload", "--wait", p)
	x.want[p] = runs
}

// badConfig: nothing that is asked for by a configuration with a mistake in it
// changes anything.
func (x *torture) badConfig() {
	mistake := []string{"[program.wrong]\ncommand = []", "[nonsense]", "x = {"}[x.rng.IntN(3)]
	x.configure(mistake)
	p := x.pick()
	x.call([]int{2, 3}, "reload", "--wait")
	x.signal(syscall.SIGHUP)
	x.call([]int{3}, "reload", "--wait", p)
	before := x.serving(p)
	x.call([]int{2}, "restart", p)
	x.call([]int{2}, "start", p)
	if before != 0 && x.serving(p) == 0 {
		x.t.Errorf("%s was stopped by a restart that was refused", p)
	}
	x.configure("")
	x.call(x.codesOfAll(), "reload")
}

// reconfigure adds a program with its listener to the configuration, or removes
// them.
func (x *torture) reconfigure() {
	x.extra = !x.extra
	x.configure("")
	x.call(x.codesOfAll(), "reload")
	delete(x.want, "extra")
	if x.extra {
		x.want["extra"] = runs
	}
}

func (x *torture) changeEnv() {
	x.mode, x.night = fmt.Sprintf("mode-%d", x.rng.IntN(1000)), x.rng.IntN(3) == 0
	want := x.mode
	if x.night {
		want = "night"
	}
	x.configure("")
	x.call([]int{0}, "reload", "--wait", "echo")
	x.want["echo"] = runs
	if got := x.greeting("echo"); !strings.Contains(got, "mode "+want+"\n") {
		x.t.Errorf("echo says %q, want mode %s", got, want)
	}
}

func (x *torture) look() {
	p := x.pick()
	for _, args := range [][]string{{"status"}, {"describe", p}, {"describe", "--json", p}, {"logs", "--lines", "5", p, "echo"}} {
		x.call([]int{0}, args...)
	}
}

func (x *torture) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return statedir.Dial(x.state())(ctx)
}

// follow is a reader of the logs who does not read.
func (x *torture) follow() {
	c, err := x.dial()
	if err != nil {
		x.t.Error(err)
		return
	}
	fmt.Fprint(c, "GET /v1/logs?follow=true HTTP/1.1\r\nHost: supervisor\r\n\r\n")
	if x.held = append(x.held, c); len(x.held) > 5 {
		x.held[0].Close()
		x.held = x.held[1:]
	}
}

func (x *torture) garbage() {
	for _, text := range []string{
		"", "\x00\x01\x02\xff\n\n\n", "GET /v1/status HTTP/1.1\r\nHo", "POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{\"program",
		"POST /v1/programs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]", "DELETE /v1/programs/chat HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/programs/chat/explode HTTP/1.1\r\nHost: x\r\n\r\n", "GET /" + strings.Repeat("a", 2<<20),
	} {
		c, err := x.dial()
		if err != nil {
			x.t.Error(err)
			return
		}
		c.SetDeadline(time.Now().Add(200 * time.Millisecond))
		io.WriteString(c, text)
		io.Copy(io.Discard, io.LimitReader(c, 100))
		c.Close()
	}
}

// fillDisk: a program can be stopped although that cannot be recorded; none can
// be added.
func (x *torture) fillDisk() {
	if x.disk == "" {
		return
	}
	empty := x.fill(x.disk)
	name := x.name()
	x.call([]int{1}, "start", "--name", name, "--", binaries.tiny(x.t, "aaaa"), "serve")
	x.call([]int{1, 0}, "stop", "plain") // 0: it is recorded already
	x.call([]int{1, 0}, "start", "echo")
	empty()
	x.call([]int{2}, "delete", name) // it was not added
	x.call([]int{0}, "stop", "echo")
	x.call([]int{0}, "start", "echo")
	x.call([]int{0}, "start", "plain")
	x.want["plain"], x.want["echo"] = runs, runs
}

// fill fills a disk until the returned function is called.
func (x *torture) fill(disk string) (empty func()) {
	x.t.Helper()
	f, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		x.t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{4096, 512, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			x.t.Error(err)
		}
	}
}

// exhaust takes all of the supervisor's descriptors for a moment, in which it
// can start nothing.
func (x *torture) exhaust() {
	if !x.few {
		return
	}
	echo := x.serving("echo")
	var idle []net.Conn
	for range 500 {
		c, err := x.dial()
		if err != nil {
			break
		}
		idle = append(idle, c)
	}
	x.eventually("its descriptors are taken", func() bool { return len(x.descriptors()) >= 390 })
	x.note("no descriptors left")
	x.signal(syscall.SIGHUP)
	if echo != 0 {
		kill(echo)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	x.ask(ctx, "status") // it may not be answered
	cancel()
	for _, c := range idle {
		c.Close()
	}
	x.eventually("it answers again", func() bool { _, err := x.status(); return err == nil })
}

func (x *torture) mistakes() {
	x.call([]int{1}, "delete", "chat")
	x.call([]int{2}, "stop", "nobody")
	x.call([]int{2}, "reload", "nobody")
	x.call([]int{2}, "signal", "NONSENSE", "chat")
	x.call([]int{2}, "start", "--name", "x/y", "--", "/bin/true")
	x.call([]int{2}, "start", "--name", "chat", "--", "/bin/true")
	x.call([]int{2}, "reload", "--nonsense")
	x.call([]int{2}, "rollback") // of which?
}
