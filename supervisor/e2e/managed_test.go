package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// managed is a site under a service manager that plays systemd's part: it starts
// the supervisor again after a crash, and keeps the descriptors that it is given
// meanwhile (sd_notify(3), sd_listen_fds(3)). The real systemd is slower to be
// killed under, and cannot be had everywhere.
type managed struct {
	*site
	path   string // of the supervisor
	args   []string
	notify *net.UnixConn
	log    *os.File

	mu       sync.Mutex
	stored   []storedFD
	stopping bool
	crashes  int
	main     int // pid, 0 while none runs

	ended sync.WaitGroup
	over  chan struct{} // closed when it is not started again
}

// storedFD is a descriptor of the store. As in systemd a name may be there twice.
type storedFD struct {
	name string
	fd   int
}

// openManaged starts a site under a service manager.
func openManaged(t *testing.T, flags []string, command ...string) *managed {
	t.Helper()
	s := &managed{site: &site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}, over: make(chan struct{})}
	if err := os.Mkdir(s.state(), 0o700); err != nil {
		t.Fatal(err)
	}
	s.args = append([]string{"run", "--state", s.state(), "--listen", "http=127.0.0.1:0", "--bake", "0s"}, flags...)
	s.args = append(append(s.args, "--"), command...)
	s.path = filepath.Join(s.dir, "supervisor")
	s.replace(binaries.supervisor(t))
	var err error
	if s.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(s.dir, "notify"), Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	if s.log, err = os.OpenFile(filepath.Join(s.dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ended.Go(s.listen)
	s.ended.Go(s.keepRunning)
	t.Cleanup(s.close)
	s.serves("the first worker serves")
	st, _ := s.status()
	s.addr = st.Listen[0].Address
	return s
}

// openChat is openManaged of the chat.
func openChat(t *testing.T, build string, flags ...string) *managed {
	t.Helper()
	dir := t.TempDir()
	link := filepath.Join(dir, "current")
	if err := os.Symlink(build, link); err != nil {
		t.Fatal(err)
	}
	s := openManaged(t, flags, link, "serve", "--data", filepath.Join(dir, "data"))
	return s
}

// place puts a build where the chat is started from.
func (s *managed) place(build string) {
	s.t.Helper()
	link := s.args[slices.Index(s.args, "--")+1]
	os.Remove(link + ".new")
	if err := errors.Join(os.Symlink(build, link+".new"), os.Rename(link+".new", link)); err != nil {
		s.t.Fatal(err)
	}
}

// serves waits until a worker serves.
func (s *managed) serves(what string) {
	s.t.Helper()
	s.eventually(what, func() bool {
		st, err := s.status()
		return err == nil && slices.Contains([]string{"running", "baking"}, st.Programs[0].Instances[0].State)
	})
}

// keepRunning starts the supervisor until it is stopped.
func (s *managed) keepRunning() {
	defer close(s.over)
	for {
		pid, err := s.exec()
		if err != nil {
			s.t.Errorf("start the supervisor: %v", err)
			return
		}
		var ws syscall.WaitStatus
		for {
			if _, err := syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
				break
			}
		}
		for next := s.next(pid); next != 0; next = s.next(next) { // it was upgraded
			for lives(next) {
				time.Sleep(5 * time.Millisecond)
			}
			ws = 0 // nobody's child: how it ended is not known
		}
		if !s.again(ws) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// next is the process that the PID file names, if that is another one, as systemd
// follows it.
func (s *managed) next(pid int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := os.ReadFile(filepath.Join(s.state(), "supervisor.pid"))
	if err != nil {
		return 0
	}
	next, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || next == pid || !lives(next) {
		return 0
	}
	s.main = next
	return next
}

// replace puts an executable in place of the supervisor's.
func (s *managed) replace(executable string) {
	s.t.Helper()
	upgradable{s.site}.replace(executable)
}

// again takes the end of the supervisor and reports whether it is to be started
// again.
func (s *managed) again(ws syscall.WaitStatus) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.main = 0
	if s.stopping {
		if !ws.Exited() || ws.ExitStatus() != 0 {
			s.t.Errorf("the supervisor ended with %v", ws)
		}
		return false
	}
	if s.crashes++; s.crashes > 100 {
		s.t.Error("the supervisor does not come up any more")
		return false
	}
	return true
}

// exec starts the supervisor with what is stored. Raw descriptors: those of
// os/exec would become blocking under the workers that share them.
func (s *managed) exec() (pid int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), s.log.Fd(), s.log.Fd()}
	var names []string
	for _, each := range s.stored {
		files = append(files, uintptr(each.fd))
		names = append(names, each.name)
	}
	env := append(os.Environ(), "NOTIFY_SOCKET="+s.notify.LocalAddr().String(), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	script := `exec "$@"`
	if len(names) > 0 {
		env = append(env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
		script = `LISTEN_PID=$$ exec "$@"`
	}
	argv := append([]string{"sh", "-c", script, "sh", s.path}, s.args...)
	s.main, err = syscall.ForkExec("/bin/sh", argv, &syscall.ProcAttr{
		Dir: s.dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	return s.main, err
}

// listen is the manager's end of what it is told.
func (s *managed) listen() {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(253*4))
	for {
		n, oobn, _, _, err := s.notify.ReadMsgUnix(buf, oob)
		if err != nil {
			return
		}
		var fds []int
		if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
			for i := range messages {
				some, _ := unix.ParseUnixRights(&messages[i])
				fds = append(fds, some...)
			}
		}
		s.told(string(buf[:n]), fds)
	}
}

func (s *managed) told(text string, fds []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	assignments := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		assignments[name] = value
	}
	name := assignments["FDNAME"]
	switch {
	case assignments["FDSTORE"] == "1":
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			s.stored = append(s.stored, storedFD{name, fd})
		}
		return
	case assignments["FDSTOREREMOVE"] == "1":
		s.stored = slices.DeleteFunc(s.stored, func(e storedFD) bool {
			if e.name == name {
				unix.Close(e.fd)
			}
			return e.name == name
		})
	}
	for _, fd := range fds { // of a barrier: closing it is the answer
		unix.Close(fd)
	}
}

// names are those in the store.
func (s *managed) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, each := range s.stored {
		names = append(names, each.name)
	}
	slices.Sort(names)
	return names
}

// crash kills the supervisor and returns when the next one is up.
func (s *managed) crash() {
	s.t.Helper()
	st, err := s.status()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := kill(st.PID); err != nil {
		s.t.Fatal(err)
	}
	s.comesUp(st.PID)
}

// comesUp waits for another supervisor than pid.
func (s *managed) comesUp(pid int) {
	s.t.Helper()
	s.eventually("another supervisor is up", func() bool {
		st, err := s.status()
		return err == nil && st.PID != pid
	})
}

// close stops the service; nothing may be left of it.
func (s *managed) close() {
	workers := s.workers()
	s.mu.Lock()
	s.stopping = true
	pid := s.main
	s.mu.Unlock()
	if pid != 0 {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	select {
	case <-s.over:
	case <-time.After(patience):
		s.t.Error("the supervisor did not stop")
		kill(pid)
	}
	for _, pid := range workers {
		if lives(pid) {
			s.t.Errorf("worker %d outlived the service", pid)
			kill(pid)
		}
	}
	if left := s.names(); len(left) > 0 {
		s.t.Errorf("left in the store: %q", left)
	}
	s.notify.Close()
	s.ended.Wait()
	log, _ := os.ReadFile(s.log.Name())
	s.output.Write(log)
	if text := string(log); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic:") {
		s.t.Error("a race or a panic in the output")
	}
	if s.t.Failed() {
		s.t.Logf("output of the service:\n%s", s.output.last(150))
	}
	s.log.Close()
}
