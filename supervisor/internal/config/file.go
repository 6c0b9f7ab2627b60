package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/simpletalk/simpletalk/proto/address"
)

// File is what a supervisor.toml says, with every default filled in.
type File struct {
	Path        string    // absolute
	Listens     []Listen  // in the order of the file
	Programs    []Program // in the order of the file, at least one
	Control     Control
	Environment string           // that is chosen where nobody says, see [File.Choose]; "" for none
	Metrics     *address.Address // where Prometheus is answered; nil: nowhere
}

// Control says who may command the supervisor.
type Control struct {
	Group string // its members may, beside the owner and root; "" for nobody else
	GID   int    // of the group, -1 without
}

// maxFile bounds what is read by mistake, such as a log file: the time that the
// TOML parser takes grows with the square of the keys in a table.
const maxFile = 256 * kibi

// Load reads the file at path; root says whether the supervisor runs as root
// and so can start programs as other users. If the file can be read but not be
// done the error is [Mistakes].
func Load(path string, root bool) (*File, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	r := &reader{file: path, dir: filepath.Dir(abs), root: root}
	f := r.decode(text)
	if len(r.mistakes) > 0 {
		r.mistakes.inOrder()
		return nil, r.mistakes
	}
	f.Path = abs
	return f, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s has more than %s bytes", path, FormatSize(maxFile))
	}
	return text, nil
}

// decode returns what text says. It is of use only if there was no mistake.
func (r *reader) decode(text []byte) *File {
	values := map[string]any{}
	if err := toml.Unmarshal(text, &values); err != nil {
		r.syntax(err)
		return nil
	}
	top := &table{reader: r, at: locate(text), values: values}
	defer top.done()
	f := &File{Control: top.control(), Metrics: top.metrics()}
	top.text("environment", "the name of an environment", &f.Environment)
	names := top.listens(&f.Listens)
	f.Programs = top.programs(names)
	return f
}

// syntax reports what the TOML parser could not read.
func (r *reader) syntax(err error) {
	at := &place{line: 1, column: 1}
	if where := new(toml.DecodeError); errors.As(err, &where) {
		at.line, at.column = where.Position()
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "toml: "), "strconv.") // which repeats the value
	r.mistake(at, "%s", cmp.Or(strings.TrimSuffix(text, ": "), "the number is out of range"))
}

// control reads [control].
func (t *table) control() Control {
	c := Control{GID: -1}
	in := t.table("control", "[control]")
	defer in.done()
	if in.text("group", "the name of a group", &c.Group) {
		c.GID = int(in.groupID("group", c.Group))
	}
	return c
}

// metrics reads [metrics]. Whoever reaches them may read them, so only this
// machine does.
func (t *table) metrics() *address.Address {
	const must = `a loopback address such as "127.0.0.1:9464", or unix:///PATH`
	in := t.table("metrics", "[metrics]")
	defer in.done()
	var where string
	if !in.text("listen", must, &where) {
		return nil
	}
	a, err := address.Parse(where)
	if err != nil {
		in.mistake(in.at.of("listen"), "%slisten: %v", in.name, err)
		return nil
	}
	if host := net.ParseIP(a.Host); a.Network == "tcp" && (host == nil || !host.IsLoopback()) {
		in.wrong("listen", must, quote(where))
		return nil
	}
	return &a
}

// listens reads [listen] and returns the names in it, those of faulty ones too:
// a program that names one makes no mistake of its own.
func (t *table) listens(to *[]Listen) []string {
	in := t.table("listen", `[listen] with lines such as http = "127.0.0.1:3000"`)
	names := in.keys()
	for _, name := range names {
		if l, ok := in.listen(name); ok && in.free(l, *to) {
			*to = append(*to, l)
		}
	}
	return names
}

func (t *table) listen(name string) (Listen, bool) {
	if !ValidName(name) {
		t.mistake(t.at.of(name), "the name %s must be %s", quote(name), nameRule)
		return Listen{}, false
	}
	var where string
	if !read(t, name, `an address in quotes such as "127.0.0.1:3000"`, &where) {
		return Listen{}, false
	}
	a, err := address.Parse(where)
	if err != nil {
		t.mistake(t.at.of(name), "%s%s: %v", t.name, name, err)
		return Listen{}, false
	}
	return Listen{name, a}, true
}

// free reports whether none of the earlier ones takes l's address.
func (t *table) free(l Listen, earlier []Listen) bool {
	i := slices.IndexFunc(earlier, func(e Listen) bool { return e.Address.Same(l.Address) })
	if i >= 0 {
		t.mistake(t.at.of(l.Name), "%s%s: %s listens there already", t.name, l.Name, earlier[i].Name)
	}
	return i < 0
}

// programs reads [program]; listens are the names of [listen].
func (t *table) programs(listens []string) []Program {
	in := t.table("program", "[program.chat]")
	names := in.keys()
	if in.values == nil || len(names) == 0 {
		if t.values["program"] == nil || in.values != nil {
			t.mistake(t.at, `no program: there must be one at least, such as [program.chat] with command = ["/usr/bin/chat"]`)
		}
		return nil
	}
	var byDefault []string
	if len(names) == 1 {
		byDefault = listens
	}
	var programs []Program
	for _, name := range names {
		programs = append(programs, in.program(name, listens, byDefault))
	}
	in.ownLogFiles(programs)
	return programs
}

func (t *table) program(name string, listens, byDefault []string) Program {
	if !ValidName(name) {
		t.mistake(t.at.of(name), "the name %s must be %s", quote(name), nameRule)
		return Program{}
	}
	in := t.table(name, "[program.chat]")
	if in.values == nil {
		return Program{}
	}
	in.name = "" // the line says whose key it is
	defer in.done()
	p := NewProgram(name, nil)
	in.start(&p)
	in.sockets(&p, listens, byDefault)
	in.lifecycle(&p)
	in.limits(&p)
	p.User = in.credential()
	return p
}
