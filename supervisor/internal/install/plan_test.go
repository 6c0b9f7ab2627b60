package install

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// machine is a folder that stands in for one, with what was run and said.
type machine struct {
	*testing.T
	Machine
	ran  []string
	said bytes.Buffer
	fail string // the command that fails
}

func newMachine(t *testing.T) *machine {
	m := &machine{T: t}
	m.Machine = Machine{Root: t.TempDir(), Out: &m.said, Run: func(_ context.Context, args ...string) error {
		line := strings.Join(args, " ")
		m.ran = append(m.ran, line)
		if line == m.fail {
			return errors.New("no")
		}
		return nil
	}}
	return m
}

func (m *machine) read(path string) string {
	b, err := os.ReadFile(m.path(path))
	if err != nil {
		return ""
	}
	return string(b)
}

func (m *machine) put(path, content string) {
	m.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(path)), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(m.path(path), []byte(content), 0o600); err != nil {
		m.Fatal(err)
	}
}

// says checks what was said since the last look.
func (m *machine) says(want ...string) {
	m.Helper()
	for _, w := range want {
		if !strings.Contains(m.said.String(), w) {
			m.Errorf("it does not say %q, but\n%s", w, &m.said)
		}
	}
	m.said.Reset()
}

const unit, settings, data = "/etc/systemd/system/chat.service", "/etc/chat/chat.toml", "/var/lib/chat"

func plan(text string) Plan {
	return Plan{
		Files: []File{
			{Path: settings, Mode: 0o640, Content: []byte("default"), Settings: true},
			{Path: unit, Mode: 0o644, Content: []byte("# " + Mark + "\n" + text)},
		},
		Do:     [][]string{{"systemctl", "enable", "chat"}},
		Undo:   [][]string{{"systemctl", "disable", "chat"}},
		Undone: [][]string{{"systemctl", "daemon-reload"}},
		Data:   []string{data},
	}
}

func TestAPlanIsDoneOnceAndUndone(t *testing.T) {
	m := newMachine(t)
	p := plan("one")
	if err := m.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	m.says("wrote    "+unit, "wrote    "+settings, "ran      systemctl enable chat")
	if info, err := os.Stat(m.path(settings)); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if err := m.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	m.says("kept     "+unit, "kept     "+settings)
	if err := m.Apply(t.Context(), plan("two")); err != nil || !strings.HasSuffix(m.read(unit), "two") {
		t.Errorf("a newer unit: %v, %q", err, m.read(unit))
	}
	m.put(data+"/messages", "hello")
	m.says()
	if err := m.Revert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	m.says("ran      systemctl disable chat", "removed  "+unit, "removed  "+settings, "ran      systemctl daemon-reload", "left     "+data)
	if m.read(data+"/messages") != "hello" {
		t.Error("data was removed")
	}
	if _, err := os.Stat(m.path("/etc/chat")); !os.IsNotExist(err) {
		t.Error("an empty folder is left")
	}
	m.fail = "systemctl disable chat"
	if err := m.Revert(t.Context(), p); err != nil {
		t.Errorf("undone twice: %v", err)
	}
	m.says("skipped  systemctl disable chat: no")
}

func TestWhatAPersonWroteStays(t *testing.T) {
	m := newMachine(t)
	m.put(settings, "mine")
	if err := m.Apply(t.Context(), plan("one")); err != nil {
		t.Fatal(err)
	}
	if err := m.Revert(t.Context(), plan("one")); err != nil || m.read(settings) != "mine" {
		t.Errorf("%v, %q", err, m.read(settings))
	}
	m.says("left     " + settings + ": it was changed")

	m.put(unit, "mine")
	err := m.Apply(t.Context(), plan("one"))
	if err == nil || !strings.Contains(err.Error(), unit+" is there and was not made by") || m.read(unit) != "mine" {
		t.Errorf("%v, %q", err, m.read(unit))
	}
	if err := m.Revert(t.Context(), plan("one")); err != nil || m.read(unit) != "mine" {
		t.Errorf("%v, %q", err, m.read(unit))
	}
	m.says("left     " + unit + ": it is not ours")
}

// A refusal comes before the first file is written.
func TestARefusedPlanWritesNothing(t *testing.T) {
	m := newMachine(t)
	m.put(unit, "mine")
	if err := m.Apply(t.Context(), plan("one")); err == nil || m.read(settings) != "" || len(m.ran) != 0 {
		t.Errorf("%v, %q, %v", err, m.read(settings), m.ran)
	}
}

func TestACommandThatFailsIsTold(t *testing.T) {
	m := newMachine(t)
	m.fail = "systemctl enable chat"
	if err := m.Apply(t.Context(), plan("one")); err == nil {
		t.Error("it was not told")
	}
	if err := Command(t.Context(), "sh", "-c", "echo what >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3: what") {
		t.Errorf("got %v", err)
	}
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	if err := plan("one").Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# " + unit + " (mode 0644)", "# " + Mark, "$ systemctl enable chat"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
