//go:build linux

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// most is what a server may take at its worst, in bytes: hashing two passwords
// takes 38 MiB of it.
const most = 200 << 20

// Two hundred people sign in at once, again and again, with passwords that have to
// be hashed. Some are turned away; nobody else notices, and the server stays small.
func TestManySignInsAtOnce(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "app")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil { // without the race detector, which takes memory
		t.Fatalf("build: %v: %s", err, out)
	}
	s := &site{t: t, dir: t.TempDir(), http: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 400, MaxIdleConnsPerHost: 400}}}
	t.Cleanup(s.http.CloseIdleConnections)
	cmd := exec.CommandContext(t.Context(), binary, "serve", "--listen", "127.0.0.1:0", "--data", s.dir)
	s.workers[0] = start(t, cmd)
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	cookie := s.guest("Ann")
	if status, answer, _ := s.ask(0, "POST", "/api/account", `{"password":"battery staple 9"}`, cookie); status != http.StatusOK {
		t.Fatalf("keep: %d %s", status, answer)
	}
	bystander := s.tab(0, s.guest("Bob"))
	bystander.await(func(m any) bool { _, ok := m.(*wire.Welcome); return ok })

	var mu sync.Mutex
	answers := map[int]int{}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			for try := range 3 {
				status := s.signIn(fmt.Sprintf("Name %d", i), fmt.Sprintf("203.0.%d.%d", try, i))
				mu.Lock()
				answers[status]++
				mu.Unlock()
			}
		})
	}
	worst := time.Duration(0)
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for busy := true; busy; {
		select {
		case <-done:
			busy = false
		case <-time.After(50 * time.Millisecond):
		}
		began := time.Now()
		bystander.say(`{"t":"ping"}`)
		bystander.await(func(m any) bool { _, ok := m.(*wire.Pong); return ok })
		worst = max(worst, time.Since(began))
	}
	if answers[http.StatusServiceUnavailable] == 0 || answers[http.StatusForbidden] == 0 || answers[503]+answers[403] != 600 {
		t.Errorf("answers were %v, want some 403 and some 503", answers)
	}
	if rss := peak(t, cmd.Process.Pid); rss > most {
		t.Errorf("the server took %d MiB, want at most %d", rss>>20, most>>20)
	} else {
		t.Logf("answers %v; %d MiB at most; a bystander waited %v at most", answers, rss>>20, worst)
	}
	if worst > 5*time.Second {
		t.Errorf("a bystander waited %v", worst)
	}
}

// signIn tries a password from an address, and returns the status.
func (s *site) signIn(name, addr string) int {
	req, err := http.NewRequestWithContext(s.t.Context(), "POST", "http://"+s.workers[0]+"/api/session",
		strings.NewReader(`{"name":"`+name+`","password":"a wrong password"}`))
	if err != nil {
		return -1
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Forwarded-For", addr)
	resp, err := s.http.Do(req)
	if err != nil {
		return -1
	}
	resp.Body.Close()
	return resp.StatusCode
}

// peak returns the most memory that a process has had, in bytes.
func peak(t *testing.T, pid int) (bytes int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	t.Fatal("the peak is not told")
	return 0
}
