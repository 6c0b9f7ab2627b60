//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
	"github.com/simpletalk/simpletalk/app/internal/sqlite"
)

// embedded makes a store with n events in a directory.
func embedded(t *testing.T, dir string, n int) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range n {
		d := chat.Draft{Room: "lobby", Kind: "post", User: chat.User{ID: "u-1", Name: "Ada"}, Nonce: fmt.Sprint(i), Text: "hello"}
		if _, err := s.Append(t.Context(), []chat.Draft{d}); err != nil {
			t.Fatal(err)
		}
	}
}

// runApp runs the command in dir and returns what it said.
func runApp(t *testing.T, dir string, env []string, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := app(t, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Run()
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// TestMoveToMongoDB is a site's move, and back.
func TestMoveToMongoDB(t *testing.T) {
	server := mongotest.Start(t)
	dir := t.TempDir()
	embedded(t, filepath.Join(dir, "data"), 20)
	onMongo := []string{"MONGODB_URI=mongodb://user:" + password + "@" + server.Addr() + "/?authMechanism=PLAIN"}
	const told = "1 rooms, 20 events, 0 sessions\n"

	if _, said, code := runApp(t, dir, nil, "", "export", "chat.jsonl"); code != exitOK || said != "exported "+told {
		t.Fatalf("export: %d %q", code, said)
	}
	info, err := os.Stat(filepath.Join(dir, "chat.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v, want it readable by its owner only", info, err)
	}
	if _, said, code := runApp(t, dir, onMongo, "", "import", "chat.jsonl"); code != exitOK || said != "imported "+told {
		t.Fatalf("import: %d %q", code, said)
	}
	first, err := os.ReadFile(filepath.Join(dir, "chat.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	out, said, code := runApp(t, dir, onMongo, "", "export")
	if code != exitOK || out != string(first) {
		t.Errorf("export from MongoDB: %d %q, and it is not what was imported:\n%s", code, said, out)
	}
	if _, said, code := runApp(t, dir, onMongo, out, "import", "--data", "back"); code != exitOK || said != "imported "+told {
		t.Errorf("import from a pipe, where --data wins: %d %q", code, said)
	}
	if out, said, code := runApp(t, dir, onMongo, "", "export", "--data", "back", "-"); code != exitOK || out != string(first) {
		t.Errorf("export of what was moved back: %d %q", code, said)
	}
	_, said, code = runApp(t, dir, onMongo, out, "import")
	if code != exitError || !strings.Contains(said, "not empty") || !strings.Contains(said, "--existing") {
		t.Errorf("import into what is not empty: %d %q", code, said)
	}
	if _, said, code = runApp(t, dir, onMongo, out, "import", "--existing"); code != exitOK {
		t.Errorf("import of the same again: %d %q", code, said)
	}
}

// TestArchiveMistakes: one line, and nothing that was there is touched.
func TestArchiveMistakes(t *testing.T) {
	dir := t.TempDir()
	embedded(t, filepath.Join(dir, "data"), 3)
	for name, text := range map[string]string{"kept.jsonl": "precious", "other.jsonl.part": "half"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args  []string
		env   string
		stdin string
		code  int
		want  string
	}{
		{args: []string{"export", "kept.jsonl"}, code: exitError, want: "kept.jsonl exists already"},
		{args: []string{"export", "other.jsonl"}, code: exitError, want: "other.jsonl.part exists"},
		{args: []string{"export", "no/such/dir/x"}, code: exitError, want: "no/such/dir/x.part"},
		{args: []string{"export", "--data", "typo"}, code: exitError, want: "typo holds no store"},
		{args: []string{"export", "a", "b"}, code: exitUsage, want: "accepts at most 1 arg"},
		{args: []string{"export"}, env: "MONGODB_URI=http://x", code: exitUsage, want: "MONGODB_URI: must be mongodb://"},
		{args: []string{"export"}, env: "MONGODB_URI=mongodb://127.0.0.1:1", code: exitError, want: "no server that can be written"},
		{args: []string{"import", "no.jsonl"}, code: exitError, want: "no.jsonl"},
		{args: []string{"import", "--data", "new"}, stdin: "hello\n", code: exitError, want: "line 1: this is no export"},
		{args: []string{"import", "--data", "new"}, stdin: "", code: exitError, want: "line 1: the export ends here"},
	} {
		_, said, code := runApp(t, dir, []string{c.env}, c.stdin, c.args...)
		if code != c.code || !strings.HasPrefix(said, "app: ") || strings.Count(said, "\n") != 1 || !strings.Contains(said, c.want) {
			t.Errorf("%v %s: exit %d, %q; want exit %d and one line with %q", c.args, c.env, code, said, c.code, c.want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "kept.jsonl")); err != nil || string(b) != "precious" {
		t.Errorf("a file was overwritten: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "typo")); err == nil {
		t.Error("export made a directory")
	}
}

// TestInterruptedImport is gone on with.
func TestInterruptedImport(t *testing.T) {
	dir := t.TempDir()
	embedded(t, filepath.Join(dir, "data"), 1200)
	stream, said, code := runApp(t, dir, nil, "", "export")
	if code != exitOK {
		t.Fatal(said)
	}
	cmd := app(t, "import", "--data", "new")
	cmd.Dir = dir
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	half := len(stream) / 2 // more than a batch
	io.WriteString(in, stream[:half])
	for !sqlite.Exists(filepath.Join(dir, "new")) {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond) // for the first batch
	cmd.Process.Signal(syscall.SIGINT)
	time.Sleep(100 * time.Millisecond)
	io.WriteString(in, stream[half:])
	in.Close()
	cmd.Wait()
	if got := errOut.String(); cmd.ProcessState.ExitCode() != exitError || !strings.HasPrefix(got, "app: interrupted") || !strings.Contains(got, "--existing") {
		t.Fatalf("exit %d, %q", cmd.ProcessState.ExitCode(), got)
	}
	if _, said, code := runApp(t, dir, nil, stream, "import", "--data", "new", "--existing"); code != exitOK {
		t.Errorf("gone on with: %d %q", code, said)
	}
	if again, _, _ := runApp(t, dir, nil, "", "export", "--data", "new"); again != stream {
		t.Error("it is another chat")
	}
}
