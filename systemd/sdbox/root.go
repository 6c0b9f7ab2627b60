//go:build linux

package sdbox

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// folders are those of a new root, besides what a boot mounts.
const folders = `usr run proc sys dev tmp mnt home root opt srv
	etc/systemd/system etc/systemd/system-preset etc/systemd/journald.conf.d
	var/lib var/tmp var/log/journal`

// masked are units that speak to hardware or to a record of logins that a box
// does not have. systemd-logind is not among them: without it shutting down
// takes 25 seconds.
var masked = []string{"getty.target", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service"}

// settings are the files of a new /etc.
func settings() map[string]string {
	id := make([]byte, 16)
	rand.Read(id)
	return map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/bash\n", "group": "root:x:0:\n", "shadow": "", "gshadow": "", "fstab": "",
		"nsswitch.conf": "passwd: files systemd\ngroup: files systemd\nshadow: files systemd\nhosts: files\n",
		"hosts":         "127.0.0.1 localhost sdbox\n::1 localhost\n",
		"hostname":      "sdbox\n",
		// Without one this would be a first boot, which enables every unit it finds.
		"machine-id":                         fmt.Sprintf("%x\n", id),
		"systemd/system-preset/00-no.preset": "disable *\n",
		"systemd/journald.conf.d/all.conf":   "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSyncIntervalSec=1s\n",
		".updated":                           "", // nor has /usr changed since
	}
}

// makeRoot makes the file system of a new machine in dir.
func makeRoot(dir string) error {
	for _, name := range strings.Fields(folders) {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	for name, text := range settings() {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "var/.updated"), nil, 0o644); err != nil {
		return err
	}
	for _, step := range []func(string) error{setModes, link, copySettings, addUsers} {
		if err := step(dir); err != nil {
			return err
		}
	}
	return nil
}

func setModes(dir string) error {
	for name, mode := range map[string]fs.FileMode{
		"root": 0o700, "etc/shadow": 0o640, "etc/gshadow": 0o640,
		"tmp": 0o777 | fs.ModeSticky, "var/tmp": 0o777 | fs.ModeSticky,
	} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			return err
		}
	}
	return nil
}

// link makes the symbolic links of the root: those of this machine into /usr,
// and those that choose and mask units.
func link(dir string) error {
	links := map[string]string{
		"var/run":                           "/run",
		"etc/systemd/system/default.target": "/usr/lib/systemd/system/multi-user.target",
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		if to, err := os.Readlink("/" + name); err == nil {
			links[name] = to
		}
	}
	for _, unit := range masked {
		links["etc/systemd/system/"+unit] = "/dev/null"
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// copySettings copies what programs in /usr look for in /etc.
func copySettings(dir string) error {
	for _, name := range []string{"/etc/ld.so.cache", "/etc/os-release", "/etc/localtime"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // not every machine has each
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return copyAlternatives(dir)
}

// copyAlternatives copies Debian's links by which /usr/bin/awk and others are
// found.
func copyAlternatives(dir string) error {
	const folder = "/etc/alternatives"
	links, _ := os.ReadDir(folder)
	if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
		return err
	}
	for _, l := range links {
		to, err := os.Readlink(filepath.Join(folder, l.Name()))
		if err != nil {
			continue
		}
		if err := os.Symlink(to, filepath.Join(dir, folder, l.Name())); err != nil {
			return err
		}
	}
	return nil
}

// addUsers adds the system's own users, such as that of D-Bus. They are given
// on standard input: --root looks for the files under the root, whose /usr is
// still empty.
func addUsers(dir string) error {
	files, _ := filepath.Glob("/usr/lib/sysusers.d/*.conf")
	var all bytes.Buffer
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		all.Write(append(text, '\n'))
	}
	c := exec.Command("systemd-sysusers", "--root="+dir, "-")
	c.Stdin = &all
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("systemd-sysusers: %w: %s", err, out)
	}
	return nil
}
