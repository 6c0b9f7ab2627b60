package record

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// earlier are the folders that a change may find.
var earlier = map[string]func(t *testing.T, path string){
	"nothing": func(*testing.T, string) {},
	"one record": func(t *testing.T, path string) {
		s, _ := open(t, path)
		become(t, s, with("before"))
	},
	"two records": func(t *testing.T, path string) {
		s, _ := open(t, path)
		become(t, s, with("long ago"))
		become(t, s, with("before"))
	},
	"the copy only": func(t *testing.T, path string) { put(t, path+oldSuffix, file(t, with("before"))) },
	"two names of one file": func(t *testing.T, path string) {
		put(t, path, file(t, with("before")))
		if err := os.Link(path, path+oldSuffix); err != nil {
			t.Fatal(err)
		}
	},
	"what a crash left": func(t *testing.T, path string) {
		put(t, path, file(t, with("before")))
		put(t, path+newSuffix, []byte("torn"))
		put(t, path+keptSuffix, []byte("torn"))
	},
}

// eachStep calls test with every folder and every number of steps that are
// done, with the record before them.
func eachStep(t *testing.T, test func(t *testing.T, path string, done int, before Record)) {
	for name, prepare := range earlier {
		for done, s := range append((&write{}).steps(), step{name: "the end"}) {
			t.Run(name+", up to "+s.name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "record")
				prepare(t, path)
				before := Record{}.clone()
				if name != "nothing" {
					before = with("before")
				}
				test(t, path, done, before)
			})
		}
	}
}

// replaced tells whether the new record has taken the place of the one before
// once so many steps are done.
func replaced(done int) bool {
	for _, s := range (&write{}).steps()[:done] {
		if s.name == "replace" {
			return true
		}
	}
	return false
}

// nothingLeft checks that the folder holds the file and the one before only.
func nothingLeft(t *testing.T, path string) {
	t.Helper()
	for name := range folder(t, path) {
		if name != "record" && name != "record.old" {
			t.Errorf("%s is left", name)
		}
	}
}

func TestAChangeLeavesNothing(t *testing.T) {
	for name, prepare := range earlier {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			prepare(t, path)
			w := &write{path: path, data: file(t, with("after"))}
			if err := w.run(w.steps()); err != nil {
				t.Fatal(err)
			}
			nothingLeft(t, path)
		})
	}
}

// A supervisor that dies at any point of a change leaves the record before it,
// or the one after it, under the file's own name.
func TestACrashAtAnyPoint(t *testing.T) {
	eachStep(t, func(t *testing.T, path string, done int, before Record) {
		_, err := os.Stat(path)
		hadFile := err == nil
		w := &write{path: path, data: file(t, with("after"))}
		for _, s := range w.steps()[:done] {
			if err := s.do(); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			if _, err := read(path); hadFile && err != nil {
				t.Errorf("after %s: %v", s.name, err)
			}
		}
		w.close() // as the end of a process does
		want := before
		if replaced(done) {
			want = with("after")
		}
		s, found := open(t, path)
		same(t, fmt.Sprint("found ", found), s.Record(), want)
		nothingLeft(t, path)
		become(t, s, with("next"))
		s, _ = open(t, path)
		same(t, "after the next change", s.Record(), with("next"))
	})
}

// Any system call of a change may fail: the record before it stays.
func TestAFailureAtAnyPoint(t *testing.T) {
	fails := step{"fail", func() error { return syscall.EIO }}
	eachStep(t, func(t *testing.T, path string, done int, before Record) {
		w := &write{path: path, data: file(t, with("after"))}
		steps := append(w.steps()[:done:done], fails)
		if replaced(done) { // then only settle is left to fail
			steps[len(steps)-1].do = func() error { return errors.Join(syscall.EIO, w.takeBack()) }
		}
		if err := w.run(steps); !errors.Is(err, syscall.EIO) {
			t.Fatalf("got %v, want EIO", err)
		}
		nothingLeft(t, path)
		s, _ := open(t, path)
		same(t, "afterwards", s.Record(), before)
	})
}

// refused checks that a change fails with want, and changes nothing.
func refused(t *testing.T, s *Store, path string, want error) {
	t.Helper()
	record, files := s.Record(), folder(t, path)
	err := s.Update(func(r *Record) { *r = full() })
	if !errors.Is(err, want) {
		t.Errorf("a change: %v, want %v", err, want)
	}
	same(t, "after a refused change", s.Record(), record)
	if got := folder(t, path); !reflect.DeepEqual(got, files) {
		t.Errorf("the folder holds %q, before it held %q", got, files)
	}
}

// mount gives the test a small file system of its own, and how to mount it
// again with other flags.
func mount(t *testing.T) (dir string, remount func(flags uintptr)) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("simpletalk-test", dir, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" && os.Getuid() == 0 {
			t.Fatal("REQUIRE_ALL=1, but mount: ", err)
		}
		t.Skip("mount: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// fill leaves no page in dir and returns the name of the file that holds them.
func fill(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return name
}

func TestAFullDisk(t *testing.T) {
	dir, _ := mount(t)
	path := filepath.Join(dir, "record")
	s, _ := open(t, path)
	become(t, s, with("long ago"))
	become(t, s, with("before"))
	filler := fill(t, dir)
	for range 3 {
		refused(t, s, path, unix.ENOSPC)
	}
	again, found := open(t, path)
	same(t, found.String(), again.Record(), with("before"))
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	become(t, s, full())
	again, _ = open(t, path)
	same(t, "with space again", again.Record(), full())
}

// On a full disk the record before is found, though it cannot be written again.
func TestAFullDiskAtTheStart(t *testing.T) {
	dir, _ := mount(t)
	path := filepath.Join(dir, "record")
	put(t, path, []byte("torn"))
	put(t, path+oldSuffix, file(t, with("before")))
	fill(t, dir)
	for range 2 {
		s, found := open(t, path)
		if found.Outcome != Recovered {
			t.Errorf("found %v", found)
		}
		same(t, found.String(), s.Record(), with("before"))
		refused(t, s, path, unix.ENOSPC)
	}
}

func TestAReadOnlyDisk(t *testing.T) {
	for name, tc := range map[string]struct {
		main, old []byte
		outcome   Outcome
		want      Record
	}{
		"nothing":              {nil, nil, Fresh, Record{}.clone()},
		"good":                 {file(t, with("main")), nil, Loaded, with("main")},
		"torn":                 {[]byte("torn"), nil, Unreadable, Record{}.clone()},
		"torn, and the copy":   {[]byte("torn"), file(t, with("old")), Recovered, with("old")},
		"the copy only":        {nil, file(t, with("old")), Recovered, with("old")},
		"torn, as is the copy": {[]byte("torn"), []byte("torn too"), Unreadable, Record{}.clone()},
	} {
		t.Run(name, func(t *testing.T) {
			dir, remount := mount(t)
			path := filepath.Join(dir, "record")
			for p, data := range map[string][]byte{path: tc.main, path + oldSuffix: tc.old} {
				if data != nil {
					put(t, p, data)
				}
			}
			files := folder(t, path)
			remount(unix.MS_RDONLY)
			s, found := open(t, path)
			if found.Outcome != tc.outcome {
				t.Errorf("found %v, want %v", found, tc.outcome)
			}
			same(t, found.String(), s.Record(), tc.want)
			refused(t, s, path, unix.EROFS)
			remount(0)
			become(t, s, with("after"))
			after := folder(t, path)
			for _, torn := range []string{"torn", "torn too"} {
				if count(files, torn) != count(after, torn) {
					t.Errorf("a torn file is lost: %q", after)
				}
			}
		})
	}
}

func count(files map[string]string, data string) (n int) {
	for _, d := range files {
		if d == data {
			n++
		}
	}
	return n
}

// A limit on the size of files cuts a write off in its middle, as a disk that
// fills up does, and needs no rights.
func TestAWriteThatIsCutOff(t *testing.T) {
	if os.Getenv(envLimited) == "" {
		runLimited(t)
		return
	}
	path := filepath.Join(t.TempDir(), "record")
	s, _ := open(t, path)
	become(t, s, with("before"))

	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: 100, Max: was.Max}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	refused(t, s, path, unix.EFBIG)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	become(t, s, full())
	again, _ := open(t, path)
	same(t, "without the limit", again.Record(), full())
}

// envLimited marks a test binary that may limit the size of its files.
const envLimited = "RECORD_TEST_LIMITED"

// runLimited runs this test in a process of its own: go test has this one write
// a log of what tests read, which the limit would cut off too.
func runLimited(t *testing.T) {
	t.Helper()
	c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), envLimited+"=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// Where there can be no folder the supervisor starts all the same.
func TestAFileInThePlaceOfTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	put(t, dir, nil)
	s, found := open(t, filepath.Join(dir, "record"))
	if found.Outcome != Unreadable {
		t.Errorf("found %v", found)
	}
	if err := s.Update(func(*Record) {}); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a change: %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	become(t, s, with("after"))
}

// A folder that was removed meanwhile is made again.
func TestTheFolderIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "record")
	s, _ := open(t, path)
	become(t, s, with("before"))
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	become(t, s, with("after"))
	sameFiles(t, path, map[string]string{"record": string(file(t, with("after")))})
}

// No change of several at the same time is lost, and none is seen in part.
func TestChangesAtTheSameTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	s, _ := open(t, path)
	var wg sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprint("program ", i)
		wg.Go(func() {
			for range 5 {
				err := s.Update(func(r *Record) {
					r.Added[name] = Program{Command: append(r.Added[name].Command, "x")}
					r.Stopped[name] = !r.Stopped[name]
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 100 {
				r := s.Record()
				if odd := len(r.Added[name].Command)%2 == 1; r.Stopped[name] != odd {
					t.Errorf("half a change is seen: %+v", r)
				}
				r.Stopped["mine"] = true
			}
		})
	}
	wg.Wait()
	again, _ := open(t, path)
	same(t, "afterwards", again.Record(), s.Record())
	for i := range 8 {
		if n := len(again.Record().Added[fmt.Sprint("program ", i)].Command); n != 5 {
			t.Errorf("program %d was changed %d times, want 5", i, n)
		}
	}
}

// A change that panics holds nobody up, and changes nothing.
func TestAChangeThatPanics(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "record"))
	func() {
		defer func() { _ = recover() }()
		s.Update(func(r *Record) { r.Stopped["x"] = true; panic("oh") })
	}()
	same(t, "afterwards", s.Record(), Record{}.clone())
	become(t, s, with("after"))
}
