// Package record keeps what an operator added or changed while the supervisor
// runs, so that its next start finds it, also after a reboot or a power cut,
// and without anyone having saved it.
//
// # What is promised
//
//  1. A change that [Store.Update] accepted survives a power cut.
//  2. A change that it refused left nothing behind, on disk or in memory.
//  3. At every instant the file holds the record before a change or the one
//     after it, whole.
//  4. A file that cannot be read is set aside, never overwritten, and does not
//     keep the supervisor from starting.
//
// # The file
//
// It is a JSON object, and a last line with the SHA-256 of all lines before:
//
//	{
//	  "version": 1,
//	  "added": {
//	    "mail": {
//	      "command": ["/usr/bin/maild", "-v"],
//	      "dir": "/srv/mail",
//	      "env": {"TOKEN": "…"},
//	      "listen": [{"name": "smtp", "address": ":25"}]
//	    }
//	  },
//	  "stopped": ["news"]
//	}
//	sha256 5f70bf18…
//
// To repair it by hand, stop the supervisor, edit the object, and replace the
// number in the last line with the word edited: "sha256 edited" vouches for
// whatever stands above. The next change writes a number again.
//
// A file without a version is older than this format; it is read, and needs no
// last line. A newer version is not understood and set aside. Fields that a
// newer writer of the same version added to the object or to a program are
// kept; those that it added to a listen address are not.
//
// # The files beside it
//
//	NAME.old       the record before the last change; read if NAME cannot be
//	NAME.broken-7  was NAME or NAME.old and could not be read; the latest 5 stay
//	NAME.newer-2   was NAME or NAME.old and is of a newer version; all stay
//	NAME.new, NAME.old.new
//	               of a change under way, or cut off; the next start removes them
//
// All are written with mode 0600, because the environment of a program may hold
// secrets. To forget everything, stop the supervisor and remove NAME and
// NAME.old.
//
// NAME must be a regular file: through a symbolic link nothing is read or
// written, because replacing the file would replace the link. The folder may be
// reached through one. Nothing here keeps two processes from the same file; the
// lock of the state directory does.
package record

import (
	"encoding/json"
	"maps"
	"slices"
)

// Record is what was added or changed at run time. It is not safe for
// concurrent use.
type Record struct {
	Added   map[string]Program // by name, programs that no configuration file names
	Stopped map[string]bool    // the programs that are meant to be stopped; false is as good as absent
	Scaled  map[string]int     // how many instances of a program there are to be; 0 is as good as absent

	rest map[string]json.RawMessage // fields of a newer writer
}

// Program is a program that was added at run time. Whoever replaces one as a
// whole drops the fields that a newer writer gave it.
type Program struct {
	Command []string          `json:"command"`
	Dir     string            `json:"dir,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Listen  []Listen          `json:"listen,omitempty"`

	// ReadyAfter is that of the configuration, as text such as "1s"; "" is as good
	// as 0.
	ReadyAfter string `json:"ready_after,omitempty"`

	rest map[string]json.RawMessage
}

// Listen is a socket that a program added at run time listens on.
type Listen struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// clone returns a deep copy, in which no map of r is nil.
func (r Record) clone() Record {
	c := Record{Added: map[string]Program{}, Stopped: map[string]bool{}, Scaled: map[string]int{}, rest: maps.Clone(r.rest)}
	for name, p := range r.Added {
		p.Command = slices.Clone(p.Command)
		p.Env = maps.Clone(p.Env)
		p.Listen = slices.Clone(p.Listen)
		p.rest = maps.Clone(p.rest)
		c.Added[name] = p
	}
	for name, stopped := range r.Stopped {
		if stopped {
			c.Stopped[name] = true
		}
	}
	for name, n := range r.Scaled {
		if n > 0 {
			c.Scaled[name] = n
		}
	}
	return c
}
