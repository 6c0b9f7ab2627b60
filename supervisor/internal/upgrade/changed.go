package upgrade

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"sync"
)

// running is the checksum of the executable that this process runs, whatever has
// become of its file.
var running = sync.OnceValues(func() ([sha256.Size]byte, error) { return checksum(self) })

const self = "/proc/self/exe"

// Changed reports whether the executable that an upgrade would start has another
// content than the one that runs.
func (u *Upgrader) Changed() (bool, error) { return differs(u.Path()) }

func differs(path string) (bool, error) {
	there, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("look for another build of the supervisor: %w", err)
	}
	here, err := os.Stat(self)
	if err == nil && os.SameFile(here, there) {
		return false, nil
	}
	mine, err := running()
	if err != nil {
		return false, err
	}
	other, err := checksum(path)
	return other != mine, err
}

func checksum(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, fmt.Errorf("read a build of the supervisor: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, fmt.Errorf("read %s: %w", path, err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
