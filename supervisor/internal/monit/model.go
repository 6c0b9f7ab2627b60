package monit

import (
	"context"
	"fmt"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// maxLines is how many lines are kept to scroll back to.
const maxLines = 2000

// model is everything that is shown.
type model struct {
	ctx    context.Context // of what the user asks for
	s      Supervisor
	width  int
	height int

	status control.Status
	asked  time.Time // when the status was
	err    error     // why there is no newer one
	chosen string    // program
	lines  []logs.Line
	all    bool // lines of every program are shown
	back   int  // how many lines are scrolled back
	notice string
	doubt  *question
}

// question is what is to be answered by y before it happens.
type question struct {
	text string
	yes  tea.Cmd
}

func newModel(ctx context.Context, s Supervisor) *model {
	return &model{ctx: ctx, s: s, width: 80, height: 24, notice: "connecting"}
}

// Init implements [tea.Model].
func (m *model) Init() tea.Cmd { return nil }

// Update implements [tea.Model].
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		if msg.Width > 0 && msg.Height > 0 { // a terminal that does not know says 0
			m.width, m.height = msg.Width, msg.Height
		}
	case statusMsg:
		m.tell(msg)
	case lineMsg:
		m.add(logs.Line(msg))
	case noticeMsg:
		m.notice = string(msg)
	case tea.KeyMsg:
		m.notice = ""
		return m, m.key(msg.String())
	}
	return m, nil
}

func (m *model) tell(msg statusMsg) {
	if m.notice == "connecting" {
		m.notice = ""
	}
	m.err = msg.err
	if msg.err != nil {
		return
	}
	m.status, m.asked = msg.status, msg.at
	if m.index() < 0 && len(m.status.Programs) > 0 {
		m.chosen = m.status.Programs[0].Name
	}
}

func (m *model) add(l logs.Line) {
	m.lines = append(m.lines, l)
	if m.back > 0 && m.shows(l) {
		m.back++ // what is being read stays where it is
	}
	if len(m.lines) >= 2*maxLines {
		m.lines = append([]logs.Line(nil), m.lines[len(m.lines)-maxLines:]...)
	}
}

func (m *model) shows(l logs.Line) bool { return m.all || l.Program == m.chosen }

// index is where the chosen program is, negative if it is gone.
func (m *model) index() int {
	for i, p := range m.status.Programs {
		if p.Name == m.chosen {
			return i
		}
	}
	return -1
}

// key acts on a key.
func (m *model) key(key string) tea.Cmd {
	if q := m.doubt; q != nil {
		m.doubt = nil
		if key == "y" {
			return q.yes
		}
		m.notice = "left as it was"
		return nil
	}
	switch key {
	case "q", "ctrl+c", "esc":
		return tea.Quit
	case "up", "k":
		m.choose(-1)
	case "down", "j":
		m.choose(1)
	case "a":
		m.all, m.back = !m.all, 0
	case "pgup", "b":
		m.back += m.logHeight()
	case "pgdown", " ":
		m.back = max(0, m.back-m.logHeight())
	case "end", "G":
		m.back = 0
	default:
		return m.command(key)
	}
	return nil
}

func (m *model) choose(by int) {
	n := len(m.status.Programs)
	if i := m.index(); i >= 0 {
		m.chosen = m.status.Programs[(i+by+n)%n].Name
		m.back = 0
	}
}

// command acts on a key that changes the chosen program.
func (m *model) command(key string) tea.Cmd {
	name := m.chosen
	if m.index() < 0 {
		return nil
	}
	switch key {
	case "r":
		m.notice = "reloading " + name
		return func() tea.Msg { return m.reload(name) }
	case "s":
		m.notice = "starting " + name
		return func() tea.Msg { return m.operate(name, control.OpStart) }
	case "R":
		m.doubt = &question{"restart " + name + "? Nobody serves meanwhile", func() tea.Msg { return m.operate(name, control.OpRestart) }}
	case "S":
		m.doubt = &question{"stop " + name + "? It stays stopped", func() tea.Msg { return m.operate(name, control.OpStop) }}
	}
	return nil
}

func (m *model) reload(name string) tea.Msg {
	r, err := m.s.Deploy(m.ctx, control.DeployRequest{Programs: []string{name}})
	if err != nil {
		return noticeMsg("reload " + name + ": " + err.Error())
	}
	return noticeMsg(fmt.Sprintf("deploy %s of %s asked for", r.ID, name))
}

func (m *model) operate(name string, op control.Operation) tea.Msg {
	done, err := m.s.Operate(m.ctx, name, op)
	if err != nil {
		return noticeMsg(string(op) + " " + name + ": " + err.Error())
	}
	return noticeMsg(name + " is " + done.State)
}
