//go:build linux

package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SumSuffix is behind an artifact's name in that of the file with its checksum,
// as sha256sum(1) writes it.
const SumSuffix = ".sha256"

// markName is the file in a release that tells from which artifact it is.
const markName = "artifact.sha256"

// Artifact is a gzipped tar archive whose content was checked. It is held open, so
// that what is unpacked is what was checked. Its owner closes it.
type Artifact struct {
	SHA256 string // in hexadecimal

	name string
	file *os.File
}

// OpenArtifact opens the artifact at path and checks it by sum, 64 hexadecimal
// digits, or without one by the file beside it that has [SumSuffix] in addition.
func OpenArtifact(path, sum string) (*Artifact, error) {
	want, err := wanted(path, sum)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	a := &Artifact{name: filepath.Base(path), file: file}
	if err := a.check(want); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return a, nil
}

// Close gives the artifact up.
func (a *Artifact) Close() error { return a.file.Close() }

func (a *Artifact) check(want string) error {
	h := sha256.New()
	if _, err := io.Copy(h, a.file); err != nil {
		return fmt.Errorf("read artifact: %w", err)
	}
	a.SHA256 = hex.EncodeToString(h.Sum(nil))
	if a.SHA256 != want {
		return fmt.Errorf("artifact %s has the sha256 %s, not %s: it was changed or cut short on its way", a.name, a.SHA256, want)
	}
	_, err := a.file.Seek(0, io.SeekStart)
	return err
}

// wanted is the checksum that the artifact at path should have.
func wanted(path, sum string) (string, error) {
	if sum != "" {
		return digits(sum)
	}
	text, err := os.ReadFile(path + SumSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is missing: put it there (sha256sum %s), or give the checksum by --sha256", path+SumSuffix, filepath.Base(path))
	}
	if err != nil {
		return "", fmt.Errorf("checksum: %w", err)
	}
	sum, name, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if name = strings.TrimLeft(name, " *"); name != "" && filepath.Base(name) != filepath.Base(path) {
		return "", fmt.Errorf("%s: the checksum is that of %q, not of %s", path+SumSuffix, name, filepath.Base(path))
	}
	if sum, err = digits(sum); err != nil {
		return "", fmt.Errorf("%s: %w", path+SumSuffix, err)
	}
	return sum, nil
}

// digits checks what is to be a checksum.
func digits(sum string) (string, error) {
	if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size {
		return "", fmt.Errorf("checksum %.80q must have 64 hexadecimal digits, as sha256sum prints them", sum)
	}
	return strings.ToLower(sum), nil
}

// mark is the content of a release's [markName].
func (a *Artifact) mark() []byte { return fmt.Appendf(nil, "%s  %s\n", a.SHA256, a.name) }

// marks tells whether the release in dir is from this artifact, under whatever
// name.
func (a *Artifact) marks(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, markName))
	return err == nil && bytes.HasPrefix(text, []byte(a.SHA256+" "))
}
