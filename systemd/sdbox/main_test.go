//go:build linux

package sdbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

// Nothing of any box is left after the tests, whatever they did.
func TestMain(m *testing.M) {
	before := mounts()
	code := leaktest.Run(m)
	if left := cgroupsOf(os.Getpid()); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "cgroups left behind:", left)
		code = 1
	}
	if after := mounts(); !slices.Equal(before, after) {
		fmt.Fprintf(os.Stderr, "mounts before:\n%s\nand after:\n%s\n", strings.Join(before, "\n"), strings.Join(after, "\n"))
		code = 1
	}
	os.Exit(code)
}

// mounts lists what is mounted where. Mounts of other tests on this machine are
// not counted.
func mounts() (found []string) {
	info, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(info)) {
		if strings.Contains(line, "sdbox") || strings.Contains(line, "TestBox") {
			found = append(found, line)
		}
	}
	return found
}

// cgroupsOf lists the cgroups of boxes of the test process with that pid.
func cgroupsOf(pid int) []string {
	base, err := cgroupBase()
	if err != nil {
		return nil
	}
	dirs, _ := filepath.Glob(filepath.Join(base, fmt.Sprintf("%s%d.*", cgroupPrefix, pid)))
	return dirs
}
