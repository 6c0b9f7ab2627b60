package monit

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// stage is a supervisor that notes what it is asked for.
type stage struct{ asked []string }

func (s *stage) Status(context.Context) (control.Status, error) { return sample(), nil }

func (s *stage) Logs(ctx context.Context, q control.LogQuery, each func(logs.Line) error) error {
	if q.Follow {
		each(logs.Line{Time: now.Add(time.Second), Program: "chat", Text: "told again"})
		each(logs.Line{Time: now.Add(time.Minute), Program: "chat", Text: "new"})
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for i := range 2 {
		each(logs.Line{Time: now.Add(time.Duration(i) * time.Second), Program: q.Programs[0], Text: fmt.Sprint("old ", i)})
	}
	return nil
}

func (s *stage) Deploy(_ context.Context, r control.DeployRequest) (control.Requested, error) {
	s.asked = append(s.asked, fmt.Sprint("reload ", r.Programs))
	return control.Requested{ID: "d1"}, nil
}

func (s *stage) Operate(_ context.Context, program string, op control.Operation) (control.Done, error) {
	s.asked = append(s.asked, string(op)+" "+program)
	if op == control.OpStart {
		return control.Done{}, errors.New("it does not start")
	}
	return control.Done{Program: program, State: "stopped"}, nil
}

var now = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

func sample() control.Status {
	since, next := now.Add(-90*time.Second), now.Add(13*time.Hour)
	return control.Status{
		PID: 7, Version: "v1", Started: now.Add(-time.Hour),
		Listen: []control.Listen{{Name: "http", Address: "127.0.0.1:3000"}},
		Programs: []control.Program{
			{Name: "chat", MemoryMax: 400 << 20, Cron: "0 4 * * *", NextCron: &next, Instances: []control.Instance{{
				Build: control.Build{Commit: "0123456789abcdef"}, State: "running", Gen: 8, PID: 1234567, StartedAt: &since, Conns: 5000, CPU: 12.4, RSSBytes: 44e6,
				Draining: []control.Draining{{Gen: 7, PID: 1200, Conns: 3, Deadline: now.Add(5 * time.Second)}},
			}}},
			{Name: "a-program-with-a-very-long-name", LogFile: &control.LogFile{Path: "/x", Error: "no space left on device"},
				Instances: []control.Instance{{State: "backoff", Restarts: 3, LastExit: "exit status 3\x1b[2J"}}},
			{Name: "two", Instances: []control.Instance{{Index: 0, State: "running"}, {Index: 1, State: "swapping"}}},
		},
		Deploys: []control.Deploy{
			{ID: "one", Program: "chat", Verdict: control.Rejected, Reason: "exit status 3", At: now.Add(-time.Minute)},
			{ID: "two", Program: "chat", Verdict: control.Accepted, At: now, SwappedMS: 40},
		},
	}
}

func shown(t *testing.T, width, height int) (*model, *stage) {
	t.Helper()
	s := new(stage)
	m := newModel(t.Context(), s)
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	m.Update(statusMsg{status: sample(), at: now})
	for i := range 100 {
		program := []string{"chat", "two"}[i%2]
		m.Update(lineMsg{Time: now, Program: program, Origin: logs.Origin{Gen: 8}, Err: i%3 == 0, Text: fmt.Sprintf("line %d \x1b[31mred \x1b[2J\twide 会話 %s", i, strings.Repeat("x", 300))})
	}
	return m, s
}

func press(m *model, keys ...string) {
	for _, k := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
		switch k {
		case "pgup":
			msg = tea.KeyMsg{Type: tea.KeyPgUp}
		case "end":
			msg = tea.KeyMsg{Type: tea.KeyEnd}
		}
		if _, cmd := m.Update(msg); cmd != nil {
			m.Update(cmd())
		}
	}
}

func TestTheViewIsAsLargeAsTheTerminal(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {200, 50}, {40, 12}, {20, 5}, {1, 1}, {500, 10}} {
		m, _ := shown(t, size[0], size[1])
		view := m.View()
		lines := strings.Split(view, "\n")
		if len(lines) != size[1] {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, l := range lines {
			if w := ansi.StringWidth(l); w > size[0] {
				t.Errorf("%v: %d wide: %q", size, w, l)
			}
		}
		if strings.Contains(view, "\x1b[2J") || strings.Contains(view, "\t") {
			t.Errorf("%v: a program steers the terminal: %q", size, view)
		}
	}
}

// Golden files show what people see, without colours; -update writes them.
var update = flag.Bool("update", false, "write testdata/*.golden")

func TestWhatPeopleSee(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	for _, size := range [][2]int{{80, 24}, {200, 50}} {
		m, _ := shown(t, size[0], size[1])
		got := ansi.Strip(m.View()) + "\n"
		golden := fmt.Sprintf("testdata/%dx%d.golden", size[0], size[1])
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("got\n%s\nwant, as in %s\n%s", got, golden, want)
		}
	}
}

// Of more programs than there is room for the chosen one is shown, and log lines are
// all the same.
func TestManyPrograms(t *testing.T) {
	m, _ := shown(t, 80, 24)
	status := sample()
	for i := range 50 {
		status.Programs = append(status.Programs, control.Program{Name: fmt.Sprintf("program-%d", i), Instances: make([]control.Instance, 1)})
	}
	m.Update(statusMsg{status: status, at: now})
	for range 2 * len(status.Programs) {
		press(m, "j")
		lines := strings.Split(ansi.Strip(m.View()), "\n")
		marked := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "> "+m.chosen[:min(len(m.chosen), 12)]) })
		heading := slices.Index(lines, "LOG of "+m.chosen)
		if marked < 0 || heading < marked || heading > 24-1-minLogs-1 || len(lines) != 24 {
			t.Fatalf("chosen is %s, shown\n%s", m.chosen, strings.Join(lines, "\n"))
		}
	}
	if view := m.View(); !strings.Contains(view, "rows more") {
		t.Errorf("that there are more is not told:\n%s", view)
	}
}

func TestTheViewTellsEverything(t *testing.T) {
	m, _ := shown(t, 80, 40)
	view := ansi.Strip(m.View())
	for _, want := range []string{
		"supervisor v1  pid 7  up 1h00m  http = 127.0.0.1:3000",
		"> chat          running        8 1234567   1m30s   5000   12 %    42.0M        0",
		"    └ old       draining       7    1200      5s      3",
		"a-program-wi…", "└ ended last: exit status 3", "log file cannot be written: no space left on device",
		"two.1         swapping",
		"chat          rejected     1m00s ago           exit status 3",
		"chat          accepted        0s ago    40 ms",
		"LOG of chat", "line 98", "q quit",
	} {
		if !strings.Contains(view, want) {
			t.Errorf("no %q in\n%s", want, view)
		}
	}
	if strings.Contains(view, "line 99") {
		t.Error("a line of another program is shown")
	}
}

func TestKeysActOnTheChosenProgram(t *testing.T) {
	for _, test := range []struct {
		keys, asked, notice string
	}{
		{"r", "reload [chat]", "deploy d1 of chat asked for"},
		{"jjr", "reload [two]", "deploy d1 of two asked for"},
		{"kr", "reload [two]", "deploy d1 of two asked for"},
		{"s", "start chat", "start chat: it does not start"},
		{"S", "", "stop chat? It stays stopped: y to do it"},
		{"Sy", "stop chat", "chat is stopped"},
		{"Sn", "", "left as it was"},
		{"Ry", "restart chat", "chat is stopped"},
		{"Rr", "", "left as it was"},
	} {
		m, s := shown(t, 80, 24)
		press(m, strings.Split(test.keys, "")...)
		if got := strings.Join(s.asked, ", "); got != test.asked {
			t.Errorf("%s: asked %q, want %q", test.keys, got, test.asked)
		}
		if view := ansi.Strip(m.View()); !strings.Contains(view, test.notice) {
			t.Errorf("%s: no %q in\n%s", test.keys, test.notice, view)
		}
	}
}

func TestLogsScroll(t *testing.T) {
	m, _ := shown(t, 80, 24)
	press(m, "a", "pgup", "pgup")
	before := ansi.Strip(m.View())
	if strings.Contains(before, "line 99") || !strings.Contains(before, "further down") {
		t.Errorf("not scrolled:\n%s", before)
	}
	first := strings.Split(before, "LOG of")[1]
	m.Update(lineMsg{Program: "chat", Text: "new"})
	after := strings.Split(ansi.Strip(m.View()), "LOG of")[1]
	if strings.SplitN(first, "\n", 2)[1] != strings.SplitN(after, "\n", 2)[1] {
		t.Errorf("what is read has moved:\n%s\n%s", first, after)
	}
	press(m, "end")
	if !strings.Contains(m.View(), "new") {
		t.Error("the end is not shown")
	}
}

// The lines of each program are there from the start, and none twice.
func TestThePastOfEachProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	feedLogs(ctx, new(stage), func(msg tea.Msg) {
		l := msg.(lineMsg)
		got = append(got, l.Program+": "+l.Text)
		if l.Text == "new" {
			cancel()
		}
	})
	var want []string
	for i := range 2 {
		for _, p := range sample().Programs {
			want = append(want, fmt.Sprintf("%s: old %d", p.Name, i))
		}
	}
	if want = append(want, "chat: new"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLinesAreBounded(t *testing.T) {
	m, _ := shown(t, 80, 24)
	for range 10 * maxLines {
		m.Update(lineMsg{Program: "chat"})
	}
	if len(m.lines) > 2*maxLines {
		t.Errorf("%d lines are kept", len(m.lines))
	}
}

func TestASupervisorThatIsGone(t *testing.T) {
	m, _ := shown(t, 80, 24)
	m.Update(statusMsg{err: errors.New("no supervisor answers")})
	if view := ansi.Strip(m.View()); !strings.Contains(view, "no answer: no supervisor answers") || !strings.Contains(view, "chat") {
		t.Errorf("shown is\n%s", view)
	}
	m.Update(statusMsg{status: sample(), at: now})
	if strings.Contains(m.View(), "no answer") {
		t.Error("it is back, and not told")
	}
}
