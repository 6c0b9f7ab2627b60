package e2e

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// fillLogs fills the disk that has the log files: that is told, and holds up nobody.
func (x *torture) fillLogs() {
	if x.disk == "" || x.want["echo"] != runs {
		return
	}
	x.note("no room for log files")
	empty := x.fill(x.logs)
	x.eventually("a log file that cannot be written is told", func() bool { return x.logFailure("echo") != "" })
	if got := x.greeting("echo"); !strings.HasPrefix(got, "build ") {
		x.t.Errorf("echo says %q while its log file cannot be written", got)
	}
	empty()
	x.eventually("it is written again", func() bool { return x.logFailure("echo") == "" })
}

// logFailure is why a program's log file cannot be written.
func (x *torture) logFailure(name string) string {
	st, err := x.status()
	if err != nil {
		x.t.Error(err)
	}
	for _, p := range st.Programs {
		if p.Name == name {
			return p.LogFile.Error
		}
	}
	return ""
}

// turnLogs does to log files what else does that.
func (x *torture) turnLogs() {
	log := filepath.Join(x.logs, "echo.log")
	if x.rng.IntN(2) == 0 {
		x.call([]int{0}, "flush", "echo")
		return
	}
	if err := os.Remove(log); err != nil && !os.IsNotExist(err) { // it may be turned over at this moment
		x.t.Error(err)
	}
	if x.rng.IntN(2) == 0 {
		x.call([]int{0}, "reopen", "echo")
	} else {
		x.note("SIGUSR2")
		x.signal(syscall.SIGUSR2)
	}
	x.eventually("the log file is there again", func() bool {
		_, err := os.Stat(log)
		return err == nil
	})
}

// checkLogFiles looks whether every line is whole, and no more files are kept than
// are to be.
func (x *torture) checkLogFiles() {
	x.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(x.want)) {
		var files []string
		x.eventually("all but two old log files of "+name+" are gone", func() bool {
			var err error
			if files, err = filepath.Glob(filepath.Join(x.logs, name+`[.\-]*`)); err != nil {
				x.t.Fatal(err)
			}
			return len(files) <= 3
		})
		lines := 0
		for _, file := range files {
			lines += x.checkLines(file, name)
		}
		if name == "echo" && lines == 0 {
			x.t.Errorf("no line in %q", files)
		}
	}
}

func (x *torture) checkLines(file, program string) (n int) {
	x.t.Helper()
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		return 0 // it has been turned over, or compressed
	}
	if err != nil {
		x.t.Error(err)
		return 0
	}
	defer f.Close()
	var text io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if text, err = gzip.NewReader(f); err != nil {
			x.t.Errorf("%s: %v", file, err)
			return 0
		}
	}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		var line struct{ Program string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Program != program {
			x.t.Errorf("%s: line %d is no line of %s: %v: %.100q", file, n+1, program, err, lines.Text())
			return n
		}
		n++
	}
	if err := lines.Err(); err != nil {
		x.t.Errorf("%s: %v", file, err)
	}
	return n
}
