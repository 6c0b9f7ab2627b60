package monit

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

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
	shownDeploys = 4
	minLogs      = 3 // lines, which the deploys make room for
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
	lines := []string{m.title(), ""}
	lines = append(lines, bold.Render(m.row("", pad("PROGRAM", 13), pad("STATE", 10), "GEN", "PID", "UP", "CONNS", "CPU", "MEMORY", "RESTARTS", "LAST EXIT")))
	for _, p := range m.status.Programs {
		lines = append(lines, m.program(p)...)
	}
	room := m.height - len(lines) - minLogs - 3 // two headings and the footer
	return append(lines, m.deploys(min(shownDeploys, room))...)
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

// wide is from where on there is room for LAST EXIT in its row.
const wide = 120

// row has the mark of the chosen program, then its columns, the first two of
// which have their widths already. Without the last one it is 80 wide.
func (m *model) row(mark, name, state string, columns ...string) string {
	row := fmt.Sprintf("%-2s%s %s", mark, name, state)
	for i, width := range []int{5, 7, 7, 6, 6, 8, 8} {
		row += fmt.Sprintf(" %*s", width, columns[i])
	}
	if m.width >= wide {
		row += "  " + columns[len(columns)-1]
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
			lines = append(lines, faint.Render(m.row("", pad("  └ old", 13), pad("draining", 10), fmt.Sprint(d.Gen), fmt.Sprint(d.PID),
				age(d.Deadline.Sub(m.asked)), fmt.Sprint(d.Conns), "", "", "", "is killed when the time is up")))
		}
	}
	if f := p.LogFile; f != nil && f.Error != "" {
		lines = append(lines, bad.Render("    └ log file cannot be written: "+logs.Printable(f.Error)))
	}
	return lines
}

func (m *model) instance(p control.Program, i control.Instance) string {
	mark, name := "", p.Name
	if len(p.Instances) > 1 {
		name = fmt.Sprintf("%s/%d", p.Name, i.Index)
	}
	up := "-"
	if i.StartedAt != nil {
		up = age(m.asked.Sub(*i.StartedAt))
	}
	name = pad(name, 13)
	if p.Name == m.chosen {
		mark, name = "> ", chosen.Render(name)
	}
	return m.row(mark, name, styles[i.State].Render(pad(i.State, 10)), fmt.Sprint(i.Gen), fmt.Sprint(i.PID), up,
		fmt.Sprint(i.Conns), fmt.Sprintf("%.0f %%", i.CPU), size(i.RSSBytes), fmt.Sprint(i.Restarts), logs.Printable(i.LastExit))
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
	from := fmt.Sprintf("[%d]", l.Gen)
	if m.all {
		from = l.Program + from
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

func size(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
