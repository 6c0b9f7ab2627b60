package record

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// with is a record whose one program runs command.
func with(command ...string) Record {
	return Record{Added: map[string]Program{"mail": {Command: command}}}.clone()
}

// full has something everywhere.
func full() Record {
	return Record{
		Added: map[string]Program{
			"mail": {
				Command: []string{"/bin/sh", "-c", "echo <a> & \"b\" \n\u2028"},
				Dir:     "/srv/ünï",
				Env:     map[string]string{"A": "1", "EMPTY": ""},
				Listen:  []Listen{{"smtp", ":25"}, {"tls", "[::1]:465"}},
			},
			"": {Command: []string{"x"}},
		},
		Stopped: map[string]bool{"news": true, "mail": true},
	}.clone()
}

func open(t *testing.T, path string) (*Store, Finding) {
	t.Helper()
	s, found, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s, found
}

// become makes r the record of s.
func become(t *testing.T, s *Store, r Record) {
	t.Helper()
	if err := s.Update(func(to *Record) { *to = r }); err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, r Record) []byte {
	t.Helper()
	data, err := encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// folder maps the names in the folder of path to what they hold.
func folder(t *testing.T, path string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(path), e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

func same(t *testing.T, what string, got, want Record) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func sameFiles(t *testing.T, path string, want map[string]string) {
	t.Helper()
	if got := folder(t, path); !reflect.DeepEqual(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func TestWhatIsChangedIsThereAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "record")
	s, found := open(t, path)
	if found.String() != "fresh" {
		t.Errorf("the first start finds %v", found)
	}
	same(t, "at first", s.Record(), Record{}.clone())
	for i, r := range []Record{with("one"), full(), {}, with("two")} {
		become(t, s, r)
		same(t, "in memory", s.Record(), r.clone())
		again, found := open(t, path)
		if found.String() != "loaded" {
			t.Errorf("start %d finds %v", i, found)
		}
		same(t, "after a restart", again.Record(), r.clone())
	}
	sameFiles(t, path, map[string]string{"record": string(file(t, with("two"))), "record.old": string(file(t, Record{}))})
	for p, want := range map[string]os.FileMode{path: 0o600, path + ".old": 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		if info, err := os.Stat(p); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", p, info.Mode(), err, want)
		}
	}
}

// Neither what Record returns nor what Update was given is the store's own.
func TestTheStoreSharesNothing(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "record"))
	mine := full()
	spoil := func(r Record) {
		r.Added["mail"].Command[0] = "spoilt"
		r.Added["mail"].Env["A"] = "spoilt"
		r.Added["mail"].Listen[0].Name = "spoilt"
		r.Added["spoilt"] = Program{}
		r.Stopped["spoilt"] = true
	}
	become(t, s, mine)
	spoil(mine)
	same(t, "after the given one was changed", s.Record(), full())
	spoil(s.Record())
	same(t, "after the returned one was changed", s.Record(), full())
}

func TestTheFileIsForPeople(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	s, _ := open(t, path)
	become(t, s, Record{
		Added:   map[string]Program{"mail": {Command: []string{"sh", "-c", "a && b"}, Env: map[string]string{"A": "1"}}},
		Stopped: map[string]bool{"b": true, "a": true, "c": false},
	})
	got := folder(t, path)["record"]
	want := `{
  "version": 1,
  "added": {
    "mail": {
      "command": [
        "sh",
        "-c",
        "a && b"
      ],
      "env": {
        "A": "1"
      }
    }
  },
  "stopped": [
    "a",
    "b"
  ]
}
sha256 `
	if !strings.HasPrefix(got, want) || len(got) != len(want)+64+1 {
		t.Errorf("the file holds\n%s\nwant\n%s… and a sum", got, want)
	}
	mended := strings.Replace(want, "&&", "||", 1)
	for name, last := range map[string]string{"vouched for": "edited\n", "vouched for, without a line end": "edited"} {
		put(t, path, []byte(mended+last))
		s, found := open(t, path)
		if cmd := s.Record().Added["mail"].Command; found.Outcome != Loaded || cmd[2] != "a || b" {
			t.Errorf("%s: %v, %q", name, found, cmd)
		}
	}
}

func TestFieldsOfANewerWriterAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	put(t, path, []byte(`{"version": 1, "later": {"a":  [1e999, "<&>"]}, "Stopped": ["x"],
		"added": {"mail": {"Command": ["a"], "limit": 7}, "news": {"command": ["b"], "limit": 8}}}
sha256 edited
`))
	s, found := open(t, path)
	if found.Outcome != Loaded {
		t.Fatal(found)
	}
	err := s.Update(func(r *Record) {
		mail := r.Added["mail"]
		mail.Command = []string{"new"}
		r.Added["mail"] = mail
		delete(r.Added, "news")
	})
	if err != nil {
		t.Fatal(err)
	}
	got := folder(t, path)["record"]
	for text, want := range map[string]int{`"later"`: 1, `1e999`: 1, `"<&>"`: 1, `"limit": 7`: 1, `"limit": 8`: 0, `"Command"`: 0, `"new"`: 1, `"Stopped"`: 0} {
		if n := strings.Count(got, text); n != want {
			t.Errorf("%s stands %d times, want %d, in\n%s", text, n, want, got)
		}
	}
	again, _ := open(t, path)
	same(t, "after a restart", again.Record(), s.Record())
}

func TestWhatCannotBeWrittenFaithfullyIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	s, _ := open(t, path)
	become(t, s, with("good"))
	before := folder(t, path)
	const bytes = "caf\xe9"
	for name, change := range map[string]func(*Record){
		"a name":              func(r *Record) { r.Added[bytes] = Program{} },
		"an argument":         func(r *Record) { r.Added["x"] = Program{Command: []string{"x", bytes}} },
		"a folder":            func(r *Record) { r.Added["x"] = Program{Dir: bytes} },
		"a variable":          func(r *Record) { r.Added["x"] = Program{Env: map[string]string{bytes: ""}} },
		"a value":             func(r *Record) { r.Added["x"] = Program{Env: map[string]string{"A": bytes}} },
		"a socket":            func(r *Record) { r.Added["x"] = Program{Listen: []Listen{{Name: bytes}}} },
		"an address":          func(r *Record) { r.Added["x"] = Program{Listen: []Listen{{Address: bytes}}} },
		"what is stopped":     func(r *Record) { r.Stopped[bytes] = true },
		"more than is read":   func(r *Record) { r.Stopped[strings.Repeat("x", maxSize)] = true },
		"a field not in JSON": func(r *Record) { r.Added["x"] = Program{rest: map[string]json.RawMessage{"a": json.RawMessage("{")}} },
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Update(change); err == nil {
				t.Error("it was accepted")
			}
			same(t, "afterwards", s.Record(), with("good"))
			sameFiles(t, path, before)
		})
	}
}

func TestPathsThatNameNoFile(t *testing.T) {
	for _, path := range []string{"", ".", "..", "/", "a/", "a/..", "a/."} {
		if s, _, err := Open(path); err == nil || s != nil {
			t.Errorf("%q: %v, %v; want an error", path, s, err)
		}
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	var names []string
	for o := Fresh; o <= Unreadable+1; o++ {
		names = append(names, o.String())
	}
	if want := []string{"fresh", "loaded", "recovered", "unreadable", "outcome 4"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}
