package record

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// state is what a file may hold: nil if there is none.
type state struct {
	name string
	data []byte
	good bool // it is the record
	kind string
}

// states of a file whose record is r.
func states(t *testing.T, r Record) []state {
	whole := file(t, r)
	object := whole[:bytes.LastIndex(whole, []byte(seal))]
	flipped := bytes.Replace(whole, []byte("command"), []byte("commanD"), 1)
	older := bytes.Replace(object, []byte(`"version": 1,`), nil, 1)
	zero := bytes.Replace(object, []byte(`"version": 1`), []byte(`"version": 0`), 1)
	later := bytes.Replace(object, []byte(`"version": 1`), []byte(`"version": 2`), 1)
	return []state{
		{"missing", nil, false, ""},
		{"good", whole, true, ""},
		{"good, without its last line end", whole[:len(whole)-1], true, ""},
		{"without a version", older, true, ""},
		{"of version 0", zero, true, ""},
		{"of version 0, sealed", fmt.Appendf(slices.Clone(zero), "%s%s\n", seal, sum(zero)), true, ""},
		{"of version 0, badly sealed", append(slices.Clone(zero), "sha256 0\n"...), false, broken},
		{"newer, unsealed", later, false, newer},
		{"newer, sealed otherwise", append(slices.Clone(later), "blake3 0\n"...), false, newer},
		{"empty", []byte{}, false, broken},
		{"blank", []byte(" \n\n"), false, broken},
		{"half", whole[:len(whole)/2], false, broken},
		{"without the checksum", object, false, broken},
		{"with a wrong checksum", flipped, false, broken},
		{"followed by more", append(slices.Clone(whole), "more\n"...), false, broken},
		{"zeros", make([]byte, 4096), false, broken},
		{"garbage", []byte("\xff\x00{]"), false, broken},
		{"null", []byte("null\nsha256 edited\n"), false, broken},
		{"a list", []byte("[]\nsha256 edited\n"), false, broken},
		{"of version -1", []byte(`{"version":-1}`), false, broken},
		{"of version 1.5", []byte(`{"version":1.5}`), false, broken},
		{"of other types", []byte(`{"added":[]}`), false, broken},
		{"with a program that is null", []byte(`{"added":{"a":null}}`), false, broken},
		{"too large", bytes.Repeat([]byte(" "), maxSize+1), false, broken},
	}
}

// TestEveryStateOfTheTwoFiles opens every pair of main file and the one before.
func TestEveryStateOfTheTwoFiles(t *testing.T) {
	mainRecord, oldRecord := with("main"), with("old")
	for _, main := range states(t, mainRecord) {
		for _, old := range states(t, oldRecord) {
			t.Run(main.name+", before it "+old.name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "record")
				for p, st := range map[string]state{path: main, path + oldSuffix: old} {
					if st.data != nil {
						put(t, p, st.data)
					}
				}
				s, found := open(t, path)
				wantOutcome, want := expected(main, old, mainRecord, oldRecord)
				same(t, "loaded", s.Record(), want)
				if found.Outcome != wantOutcome {
					t.Errorf("found %v, want %v", found, wantOutcome)
				}
				checkDetail(t, path, found, main, old)
				sameFiles(t, path, left(t, main, old, oldRecord))

				become(t, s, with("next"))
				s, found = open(t, path)
				same(t, "after a change and a restart", s.Record(), with("next"))
				if found.Outcome != Loaded {
					t.Errorf("after a change and a restart: %v", found)
				}
			})
		}
	}
}

func expected(main, old state, mainRecord, oldRecord Record) (Outcome, Record) {
	switch {
	case main.good:
		return Loaded, mainRecord
	case old.good:
		return Recovered, oldRecord
	case main.data == nil && old.data == nil:
		return Fresh, Record{}.clone()
	}
	return Unreadable, Record{}.clone()
}

// left is what the folder holds after Open: nothing that was in it is lost.
func left(t *testing.T, main, old state, oldRecord Record) map[string]string {
	files := map[string]string{}
	if main.good {
		files["record"] = string(main.data)
		if old.data != nil {
			files["record.old"] = string(old.data)
		}
		return files
	}
	number := map[string]int{}
	aside := func(st state) {
		if st.data != nil {
			number[st.kind]++
			files[fmt.Sprintf("record.%s-%d", st.kind, number[st.kind])] = string(st.data)
		}
	}
	aside(main)
	if old.good {
		files["record"] = string(file(t, oldRecord))
		files["record.old"] = string(old.data)
	} else {
		aside(old)
	}
	return files
}

func checkDetail(t *testing.T, path string, found Finding, main, old state) {
	t.Helper()
	if strings.Contains(found.Detail, "\n") {
		t.Errorf("the finding has several lines: %q", found.Detail)
	}
	if (found.Detail == "") != (found.Outcome == Fresh || found.Outcome == Loaded) {
		t.Errorf("the finding says %q", found)
	}
	if main.good || found.Outcome == Fresh {
		return
	}
	want := []string{path + " is missing"}
	if main.data != nil {
		want = []string{path + " cannot be read (it is ", path + "." + main.kind + "-1"}
		if main.kind == newer {
			want[0] = path + " cannot be read (a newer supervisor wrote it: its version is 2, 1 is known)"
		}
	}
	if old.good {
		want = append(want, "took "+path+".old")
	}
	for _, w := range want {
		if !strings.Contains(found.Detail, w) {
			t.Errorf("the finding says %q, want %q in it", found.Detail, w)
		}
	}
}

// A file that ends anywhere before its end is not taken for a record.
func TestATearAnywhereIsNoticed(t *testing.T) {
	whole, before := file(t, full()), file(t, with("before"))
	for n := range len(whole) - 1 { // without the last line end it is whole
		path := filepath.Join(t.TempDir(), "record")
		put(t, path, whole[:n])
		put(t, path+oldSuffix, before)
		s, found := open(t, path)
		if found.Outcome != Recovered || folder(t, path)["record.broken-1"] != string(whole[:n]) {
			t.Fatalf("torn after %d bytes: %v, and the folder holds %q", n, found, folder(t, path))
		}
		same(t, fmt.Sprintf("torn after %d bytes", n), s.Record(), with("before"))
	}
}

func TestAFlippedBitAnywhereIsNoticed(t *testing.T) {
	whole := file(t, full())
	for i := range whole[:len(whole)-1] {
		for bit := range 8 {
			rotten := slices.Clone(whole)
			rotten[i] ^= 1 << bit
			if r, err := decode(rotten); err == nil {
				t.Errorf("bit %d of byte %d: it is taken for %+v", bit, i, r)
			}
		}
	}
}

func TestOnlyTheLatestBrokenFilesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	for _, name := range []string{"record.broken-", "record.broken-x", "record.broken-0", "other.broken-1"} {
		put(t, filepath.Join(filepath.Dir(path), name), nil)
	}
	for i := range 12 {
		put(t, path, fmt.Append(nil, "broken ", i))
		open(t, path)
		put(t, path, fmt.Appendf(nil, `{"version":2,"i":%d}`, i))
		open(t, path)
	}
	var brokens, newers []string
	for name, data := range folder(t, path) {
		if strings.HasPrefix(data, "broken") {
			brokens = append(brokens, name)
		}
		if strings.HasPrefix(data, "{") {
			newers = append(newers, name)
		}
	}
	slices.Sort(brokens)
	if want := []string{"record.broken-10", "record.broken-11", "record.broken-12", "record.broken-8", "record.broken-9"}; !slices.Equal(brokens, want) {
		t.Errorf("kept %v, want %v", brokens, want)
	}
	if len(newers) != 12 {
		t.Errorf("kept %d files of a newer version, want all 12", len(newers))
	}
	if n := len(folder(t, path)); n != 5+12+4 {
		t.Errorf("%d files are left, want also those of other names", n)
	}
}

// What is in the place of the file, but no file, is left alone: the supervisor
// starts, and changes are refused until it is gone.
func TestNoFileInThePlaceOfTheFile(t *testing.T) {
	for name, occupy := range map[string]func(path string) error{
		"a symbolic link": func(path string) error {
			if err := os.WriteFile(path+".target", []byte("precious"), 0o600); err != nil {
				return err
			}
			return os.Symlink(path+".target", path)
		},
		"a dangling link": func(path string) error { return os.Symlink("nowhere", path) },
		"a folder":        func(path string) error { return os.Mkdir(path, 0o700) },
		"a pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		for _, when := range []string{"at the start", "later", "before, as the copy"} {
			t.Run(name+" "+when, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "record")
				place := path
				if when == "before, as the copy" {
					place += oldSuffix
				}
				if when == "later" {
					later(t, path, occupy)
					return
				}
				if err := occupy(place); err != nil {
					t.Fatal(err)
				}
				s, found := open(t, path)
				if found.Outcome != Unreadable || !strings.Contains(found.Detail, "no change is accepted") {
					t.Errorf("found %v", found)
				}
				refusedUntilGone(t, s, path, place, Record{}.clone())
			})
		}
	}
}

// later occupies the place of a file that was read.
func later(t *testing.T, path string, occupy func(string) error) {
	s, _ := open(t, path)
	become(t, s, with("before"))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := occupy(path); err != nil {
		t.Fatal(err)
	}
	refusedUntilGone(t, s, path, path, with("before"))
}

// refusedUntilGone checks that a change touches nothing, and works once place
// is free.
func refusedUntilGone(t *testing.T, s *Store, path, place string, want Record) {
	t.Helper()
	names := func() []string {
		entries, _ := os.ReadDir(filepath.Dir(path))
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	before := names()
	err := s.Update(func(r *Record) { r.Stopped["x"] = true })
	if err == nil || !strings.Contains(err.Error(), place+" is not a regular file") {
		t.Errorf("a change: %v", err)
	}
	same(t, "after a refused change", s.Record(), want)
	if got := names(); !slices.Equal(got, before) {
		t.Errorf("the folder holds %v, before it held %v", got, before)
	}
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	become(t, s, with("after"))
	s, _ = open(t, path)
	same(t, "after it is gone", s.Record(), with("after"))
}

// FuzzOpen finds any bytes in the file: nothing panics, and they stay.
func FuzzOpen(f *testing.F) {
	for _, st := range states(&testing.T{}, full()) {
		if len(st.data) < 1<<16 {
			f.Add(st.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "record")
		put(t, path, data)
		s, found := open(t, path)
		first := s.Record()
		if err := s.Update(func(r *Record) { r.Stopped["more"] = true }); err != nil {
			t.Fatalf("%v, and then %v", found, err)
		}
		if all := slices.Collect(maps.Values(folder(t, path))); !slices.Contains(all, string(data)) {
			t.Errorf("%v, and then it is lost: %q", found, all)
		}
		first.Stopped["more"] = true
		again, found := open(t, path)
		if found.Outcome != Loaded {
			t.Errorf("after a change: %v", found)
		}
		same(t, "after a change", again.Record(), first)
	})
}
