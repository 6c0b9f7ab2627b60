package monit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// Colours of the sixteen that every terminal has, so that they fit its own
// background. Each goes with a word: none tells anything alone.
var (
	bold   = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	chosen = lipgloss.NewStyle().Reverse(true)
	bad    = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
	good   = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	busy   = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
)

// styles say how states and verdicts look.
var styles = map[string]lipgloss.Style{
	"running": good, "accepted": good,
	"starting": busy, "swapping": busy, "baking": busy, "pending": busy, "stopping": busy,
	"backoff": bad, "rejected": bad, "returned": bad,
	"stopped": faint,
}

const (
	minPrograms = 3 // rows of the table that are always there
	minDeploys  = 4 // that are shown if there is room
	minLogs     = 3 // lines, which all else makes room for
)

// View implements [tea.Model].
func (m *model) View() string {
	top := m.top()
	lines := append(top, m.logs(m.logRows(len(top)))...)
	lines = append(lines[:min(len(lines), max(0, m.height-1))], m.footer())
	for i, l := range lines {
		lines[i] = fit(l, m.width)
	}
	return strings.Join(lines, "\n")
}

// fit cuts a line, colours and all, to a width.
func fit(line string, width int) string {
	line = strings.TrimRight(strings.ReplaceAll(line, "\t", "    "), " ")
	if strings.Contains(line, "\x1b") {
		line += "\x1b[0m"
	}
	return ansi.Truncate(line, width, "…")
}

// top is everything above the log lines.
func (m *model) top() []string {
	lines := []string{m.title(), "", bold.Render(m.row("", titles()...))}
	lines = append(lines, m.programs(m.height-len(lines)-minLogs-3)...) // 3: a blank line, a heading, the footer
	room := m.height - len(lines) - minLogs - 5
	return append(lines, m.deploys(min(max(minDeploys, m.height/8), room))...)
}

// programs are the rows of all programs, or so many of them around the chosen one.
func (m *model) programs(room int) []string {
	var rows []string
	from, to := 0, 0
	for i, p := range m.status.Programs {
		each := m.program(p)
		if i == m.index() {
			from, to = len(rows), len(rows)+len(each)
		}
		rows = append(rows, each...)
	}
	if room = max(room, minPrograms); len(rows) <= room {
		return rows
	}
	first := min(max(0, (from+to-room)/2), from, len(rows)-room)
	shown := slices.Clone(rows[first : first+room])
	if first > 0 && first < from {
		shown[0] = faint.Render(fmt.Sprintf("    ↑ %d rows more", first+1))
	}
	if last := first + room; last < len(rows) && to < last {
		shown[room-1] = faint.Render(fmt.Sprintf("    ↓ %d rows more", len(rows)-last+1))
	}
	return shown
}

func (m *model) title() string {
	s := m.status
	if s.PID == 0 && m.err == nil {
		return bold.Render("supervisor")
	}
	if m.err != nil {
		return bad.Render("no answer: ") + logs.Printable(m.err.Error())
	}
	title := bold.Render("supervisor "+s.Version) + fmt.Sprintf("  pid %d  up %s", s.PID, age(m.asked.Sub(s.Started)))
	for _, l := range s.Listen {
		title += faint.Render("  " + l.Name + " = " + l.Address)
	}
	return title
}

// wide is from where on there is room for every column.
const wide = 120

// columns are those of the table of programs, with their widths in a terminal of 80
// and in a wide one: 0 where a column is not shown, negative where it stands on the
// left. The last one ends where its text does.
var columns = []struct {
	title        string
	narrow, wide int
}{
	{"PROGRAM", -13, -28}, {"STATE", -10, -10}, {"GEN", 5, 5}, {"PID", 7, 7}, {"COMMIT", 0, -12}, {"UP", 7, 7}, {"CONNS", 6, 6},
	{"CPU", 6, 6}, {"MEMORY", 8, 15}, {"RESTARTS", 8, 8}, {"LAST EXIT", 0, -1},
}

func titles() (all []string) {
	for _, c := range columns {
		all = append(all, c.title)
	}
	return all
}

// row has the mark of the chosen program, then its columns.
func (m *model) row(mark string, cells ...string) string {
	row := pad(mark, 1)
	for i, c := range columns {
		width := c.narrow
		if m.width >= wide {
			width = c.wide
		}
		switch {
		case width == 0:
		case i == len(columns)-1:
			row += "  " + cells[i]
		case width < 0:
			row += " " + pad(cells[i], -width)
		default:
			row += fmt.Sprintf(" %*s", width, cells[i])
		}
	}
	return row
}

func (m *model) program(p control.Program) []string {
	var lines []string
	for _, i := range p.Instances {
		lines = append(lines, m.instance(p, i))
		if i.LastExit != "" && m.width < wide {
			lines = append(lines, faint.Render("    └ ended last: ")+logs.Printable(i.LastExit))
		}
		for _, d := range i.Draining {
			lines = append(lines, faint.Render(m.row("", "  └ old", "draining", fmt.Sprint(d.Gen), fmt.Sprint(d.PID), "",
				age(d.Deadline.Sub(m.asked)), fmt.Sprint(d.Conns), "", "", "", "is killed when the time is up")))
		}
	}
	if p.NextCron != nil {
		lines = append(lines, faint.Render(fmt.Sprintf("    └ cron %s: next in %s", p.Cron, age(p.NextCron.Sub(m.asked)))))
	}
	if f := p.LogFile; f != nil && f.Error != "" {
		lines = append(lines, bad.Render("    └ log file cannot be written: "+logs.Printable(f.Error)))
	}
	return lines
}

func (m *model) instance(p control.Program, i control.Instance) string {
	mark, name := "", p.Name
	if len(p.Instances) > 1 {
		name = fmt.Sprintf("%s.%d", p.Name, i.Index)
	}
	up := "-"
	if i.StartedAt != nil {
		up = age(m.asked.Sub(*i.StartedAt))
	}
	if p.Name == m.chosen {
		mark, name = ">", chosen.Render(name)
	}
	memory := config.Megabytes(i.RSSBytes)
	if p.MemoryMax > 0 && m.width >= wide {
		memory += " of " + config.FormatSize(p.MemoryMax)
	}
	return m.row(mark, name, styles[i.State].Render(i.State), fmt.Sprint(i.Gen), fmt.Sprint(i.PID), i.Build.Commit, up,
		fmt.Sprint(i.Conns), fmt.Sprintf("%.0f %%", i.CPU), memory, fmt.Sprint(i.Restarts), logs.Printable(i.LastExit))
}

// pad makes text exactly as wide.
func pad(text string, width int) string {
	text = ansi.Truncate(text, width, "…")
	return text + strings.Repeat(" ", width-ansi.StringWidth(text))
}

func (m *model) deploys(n int) []string {
	all := m.status.Deploys
	if n <= 0 || len(all) == 0 {
		return nil
	}
	lines := []string{"", bold.Render("DEPLOYS")}
	for _, d := range all[max(0, len(all)-n):] {
		swapped := ""
		if d.SwappedMS > 0 {
			swapped = fmt.Sprintf("%d ms", d.SwappedMS)
		}
		lines = append(lines, fmt.Sprintf("  %s %s %7s ago %8s  %s", pad(d.Program, 13), styles[string(d.Verdict)].Render(pad(string(d.Verdict), 10)),
			age(m.asked.Sub(d.At)), swapped, logs.Printable(cmp.Or(d.Reason, d.By))))
	}
	return lines
}

// logRows is how many rows are left for log lines below the top.
func (m *model) logRows(top int) int { return max(0, m.height-top-3) }

// logHeight is [model.logRows] at this moment.
func (m *model) logHeight() int { return m.logRows(len(m.top())) }

func (m *model) logs(rows int) []string {
	of := m.chosen
	if m.all {
		of = "all programs"
	}
	var shown []logs.Line
	for _, l := range m.lines {
		if m.shows(l) {
			shown = append(shown, l)
		}
	}
	m.back = min(m.back, max(0, len(shown)-rows))
	heading := bold.Render("LOG of " + of)
	if m.back > 0 {
		heading += busy.Render(fmt.Sprintf("  %d lines further down", m.back))
	}
	lines := []string{"", heading}
	end := len(shown) - m.back
	for _, l := range shown[max(0, end-rows):end] {
		lines = append(lines, m.line(l))
	}
	for len(lines) < rows+2 {
		lines = append(lines, "")
	}
	return lines
}

func (m *model) line(l logs.Line) string {
	at := faint.Render(l.Time.Local().Format("15:04:05"))
	if l.Lost > 0 {
		return at + busy.Render(fmt.Sprintf(" %d lines missed", l.Lost))
	}
	mark := " "
	if l.Err {
		mark = bad.Render("!")
	}
	from := l.Origin.Alone()
	if m.all {
		from = l.Program + l.Origin.String()
	}
	return at + " " + faint.Render(from) + mark + logs.Printable(l.Text)
}

// footer says what can be done, or what has been.
func (m *model) footer() string {
	switch {
	case m.doubt != nil:
		return bold.Render(m.doubt.text + ": y to do it, any other key to leave it")
	case m.notice != "":
		return busy.Render(logs.Printable(m.notice)) + "  " + keys
	}
	return keys
}

const keys = "↑↓ choose  r reload  s start  S stop  R restart  a all logs  PgUp/PgDn  q quit"

// age is a duration in a few characters.
func age(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
