package pm2

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// TOML is a configuration that says what e does, as far as it can be said.
func (e *Ecosystem) TOML() string {
	w := &writer{dir: filepath.Dir(e.Path), names: map[string]bool{}}
	w.comment("Made of %s by 'supervisor import-pm2'. Comments say what could not be", filepath.Base(e.Path))
	w.comment("carried over. 'supervisor check' reads this file, 'supervisor check --help' lists every key.")
	for _, key := range e.Rest {
		w.comment("%s: not carried over%s", key, tail(elsewhere[key]))
	}
	for _, app := range e.Apps {
		w.app(app)
	}
	return w.text.String()
}

// elsewhere says who does what keys beside apps are about.
var elsewhere = map[string]string{"deploy": "put a build in place and run 'supervisor reload --wait', which ends with its verdict"}

func tail(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// writer writes a configuration.
type writer struct {
	dir   string // of the ecosystem file
	text  strings.Builder
	names map[string]bool
}

func (w *writer) comment(format string, args ...any) {
	w.text.WriteString("# " + oneLine(fmt.Sprintf(format, args...)) + "\n")
}

// set writes a key with its value, which is TOML already.
func (w *writer) set(key, value string) { fmt.Fprintf(&w.text, "%s = %s\n", key, value) }

// oneLine keeps a comment one.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
}

// quote is text as a basic string of TOML.
func quote(s string) string {
	b, err := json.Marshal(strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return `""` // it cannot be
	}
	return strings.ReplaceAll(string(b), "\x7f", `\u007f`)
}

func quoteAll(all []string) string {
	var quoted []string
	for _, s := range all {
		quoted = append(quoted, quote(s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// app writes one program. Each key that is written, or spoken of, is taken out of
// what is left; the rest is not known.
func (w *writer) app(a App) {
	left := maps.Clone(a)
	w.text.WriteString("\n")
	name := w.name(a)
	fmt.Fprintf(&w.text, "[program.%s]\n", quote(name))
	w.command(a)
	w.instances(a)
	w.lifecycle(a)
	w.logs(a)
	for _, key := range []string{"name", "script", "args", "cwd", "interpreter", "exec_interpreter", "interpreter_args", "node_args", "instances", "exec_mode",
		"kill_timeout", "listen_timeout", "wait_ready", "max_memory_restart", "cron_restart", "cron", "autorestart", "restart_delay", "exp_backoff_restart_delay",
		"min_uptime", "stop_exit_codes", "out_file", "output", "log", "log_file", "error_file", "error", "log_date_format", "log_type", "env"} {
		delete(left, key)
	}
	w.environments(a, left)
	for _, key := range sorted(left) {
		w.leftOver(key, left[key])
	}
}

// name is a name for the program that no other has.
func (w *writer) name(a App) string {
	given := text(a["name"])
	name := strings.Map(func(c rune) rune {
		if c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("-_.", c)) {
			return c
		}
		return '-'
	}, cmp.Or(given, strings.TrimSuffix(filepath.Base(text(a["script"])), filepath.Ext(text(a["script"])))))
	name = cmp.Or(strings.Trim(name[:min(len(name), 32)], "-_."), "app")
	for n, first := 2, name; w.names[name]; n++ {
		name = fmt.Sprintf("%s-%d", first, n)
	}
	w.names[name] = true
	if given != "" && given != name {
		w.comment("name %s: changed, a name has letters, digits, '-', '_' and '.' and is nobody else's", quote(given))
	}
	return name
}

// interpreters are those that PM2 chooses by a script's extension.
var interpreters = map[string]string{".js": "node", ".cjs": "node", ".mjs": "node", ".py": "python3", ".rb": "ruby", ".pl": "perl", ".php": "php", ".sh": "bash"}

func (w *writer) command(a App) {
	script, args := text(a["script"]), words(a["args"])
	dir := cmp.Or(text(a["cwd"]), text(a["path"]))
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(w.dir, dir)
	}
	interpreter := cmp.Or(text(a["interpreter"]), text(a["exec_interpreter"]))
	if interpreter == "" {
		interpreter = cmp.Or(interpreters[filepath.Ext(script)], "none")
	}
	flags := append(words(a["interpreter_args"]), words(a["node_args"])...)
	command := append(append([]string{interpreter}, flags...), append([]string{script}, args...)...)
	switch {
	case interpreter != "none":
		if strings.Contains(interpreter, "/") && !filepath.IsAbs(interpreter) {
			command[0] = filepath.Join(dir, interpreter)
		}
	case strings.ContainsAny(script, " \t"): // PM2 gives it to a shell
		command = []string{"/bin/sh", "-c", "exec " + strings.Join(append([]string{script}, args...), " ")}
	default:
		if strings.Contains(script, "/") && !filepath.IsAbs(script) {
			script = filepath.Join(dir, script)
		}
		command = append([]string{script}, args...)
	}
	w.set("command", quoteAll(command))
	w.set("dir", quote(dir))
}

func (w *writer) instances(a App) {
	n, isNumber := number(a["instances"])
	switch {
	case a["instances"] == nil || isNumber && n == 1:
	case isNumber && n > 1:
		w.set("instances", strconv.FormatInt(int64(n), 10))
	default:
		w.comment("instances %s: write how many, such as instances = 2", shown(a["instances"]))
	}
	if mode := text(a["exec_mode"]); strings.HasPrefix(mode, "cluster") {
		w.comment("exec_mode %s: not carried over: name the address in [listen] and listen on the socket that is given", quote(mode))
		w.comment("(LISTEN_FDS; in Node server.listen({ fd: 3 })). Then a reload refuses nobody.")
	}
}

func (w *writer) lifecycle(a App) {
	w.milliseconds("kill_timeout", a["kill_timeout"])
	ready, told := a["wait_ready"].(bool)
	switch {
	case told && ready:
		w.milliseconds("ready_timeout", a["listen_timeout"])
		w.comment("wait_ready: instead of process.send('ready') the program says READY=1 to $NOTIFY_SOCKET")
	default:
		w.set("ready_after", quote("1s"))
		w.comment("ready_after: PM2 takes a program for ready at once. Better it says READY=1 to $NOTIFY_SOCKET; then remove this line")
		if a["listen_timeout"] != nil {
			w.comment("listen_timeout %s: without wait_ready it has no meaning here", shown(a["listen_timeout"]))
		}
	}
	w.memory(a["max_memory_restart"])
	if spec := cmp.Or(text(a["cron_restart"]), text(a["cron"])); spec != "" && spec != "0" {
		w.cron(spec)
	}
	w.restart(a)
}

// cron writes a schedule. One with seconds, which PM2 takes, has no like.
func (w *writer) cron(spec string) {
	if len(strings.Fields(spec)) == 5 || strings.HasPrefix(spec, "@") {
		w.set("cron", quote(spec))
		return
	}
	w.comment("cron_restart %s: a schedule has five fields here, the first of them minutes", quote(spec))
}

func (w *writer) restart(a App) {
	var parts []string
	if again, ok := a["autorestart"].(bool); ok && !again {
		parts = append(parts, `on = "never"`)
	} else {
		parts = append(parts, `on = "always"`)
	}
	delay := cmp.Or(first(number(a["restart_delay"])), first(number(a["exp_backoff_restart_delay"])))
	if delay > 0 {
		parts = append(parts, "min = "+quote(duration(delay)))
		if d := time.Duration(delay) * time.Millisecond; d > 30*time.Second {
			parts = append(parts, "max = "+quote(duration(delay)))
		}
	}
	if up := milliseconds(a["min_uptime"]); up > 0 {
		parts = append(parts, "reset_after = "+quote(duration(up)))
	} else if a["min_uptime"] != nil {
		w.comment("min_uptime %s: write it as restart.reset_after", shown(a["min_uptime"]))
	}
	w.set("restart", "{ "+strings.Join(parts, ", ")+" }")
	if codes := a["stop_exit_codes"]; codes != nil {
		w.comment("stop_exit_codes %s: restart.on names the codes after which a program is started again instead", shown(codes))
	}
}

func first(n float64, _ bool) float64 { return n }

func (w *writer) memory(v any) {
	if v == nil {
		return
	}
	size := strings.ToUpper(strings.TrimSuffix(strings.TrimSpace(text(v)), "B"))
	digits := strings.TrimRight(size, "KMG")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit := map[string]int64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[size[len(digits):]]
	if err != nil || n*unit < 1<<20 {
		w.comment("max_memory_restart %s: write it as memory_max, 1M or more", shown(v))
		return
	}
	w.set("memory_max", quote(size))
}

func (w *writer) logs(a App) {
	var file string
	for _, key := range []string{"out_file", "output", "log", "log_file", "error_file", "error"} {
		path := text(a[key])
		switch {
		case path == "":
		case path == "NULL" || path == "/dev/null":
			w.comment("%s %s: without log.file there is none", key, quote(path))
		case file == "":
			file = path
		default:
			w.comment("%s %s: standard output and error are kept in one file, in their order", key, quote(path))
		}
	}
	var parts []string
	if file != "" {
		if !filepath.IsAbs(file) {
			file = filepath.Join(w.dir, file)
		}
		parts = append(parts, "file = "+quote(file))
	}
	switch {
	case text(a["log_type"]) == "json":
		parts = append(parts, `format = "json"`)
	case text(a["log_date_format"]) != "":
		parts = append(parts, `format = "time"`)
		w.comment("log_date_format %s: times are as in RFC 3339", shown(a["log_date_format"]))
	}
	if len(parts) > 0 {
		w.set("log", "{ "+strings.Join(parts, ", ")+" }")
	}
}

// environments writes env and every env_NAME, which it takes out of left.
func (w *writer) environments(a App, left map[string]any) {
	w.env("env", a["env"])
	for _, key := range sorted(left) {
		name, ok := strings.CutPrefix(key, "env_")
		if _, isTable := left[key].(map[string]any); !ok || !isTable || name == "" || strings.ContainsFunc(name, notInName) {
			continue
		}
		delete(left, key)
		w.env("environment."+name+".env", a[key])
	}
}

func notInName(c rune) bool {
	return c >= 0x80 || !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '-' && c != '_'
}

func (w *writer) env(key string, v any) {
	variables, ok := v.(map[string]any)
	if !ok {
		return
	}
	var parts []string
	for _, name := range sorted(variables) {
		if !validVariable(name) {
			w.comment("%s %s: no shell can name that variable", key, quote(name))
			continue
		}
		value := text(variables[name])
		if strings.Contains(value, "\x00") {
			w.comment("%s %s: no variable can hold a zero byte", key, name)
			continue
		}
		parts = append(parts, name+" = "+quote(value))
	}
	if len(parts) > 0 {
		w.set(key, "{ "+strings.Join(parts, ", ")+" }")
	}
}

func validVariable(name string) bool {
	for i, c := range name {
		if c != '_' && (c >= 0x80 || !unicode.IsLetter(c)) && (i == 0 || !unicode.IsDigit(c) || c >= 0x80) {
			return false
		}
	}
	return name != "" && !strings.HasPrefix(name, "LISTEN_") && name != "NOTIFY_SOCKET" && !strings.HasPrefix(name, "SIMPLETALK_")
}

// reasons say what is to be done about keys that have no like.
var reasons = map[string]string{
	"watch":                      "run 'supervisor watch' beside it while you develop",
	"ignore_watch":               "see 'supervisor watch --ignore'",
	"watch_options":              "see 'supervisor watch'",
	"watch_delay":                "see 'supervisor watch --settle'",
	"max_restarts":               "a program is started again for ever, at growing intervals, and status tells how often",
	"merge_logs":                 "the lines of all instances are in one file",
	"combine_logs":               "the lines of all instances are in one file",
	"pid_file":                   "'supervisor status --json' tells the pid",
	"pid":                        "'supervisor status --json' tells the pid",
	"uid":                        "write the name as user, where the supervisor is root",
	"user":                       "write the name as user, where the supervisor is root",
	"gid":                        "write the name as group, where the supervisor is root",
	"namespace":                  "a program has its name alone",
	"increment_var":              "with several instances each has its index in its environment",
	"instance_var":               "with several instances each has its index in its environment",
	"shutdown_with_message":      "a program is told to end by stop_signal",
	"treekill":                   "the whole process group ends with a program",
	"force":                      "a program has its name alone",
	"filter_env":                 "a program gets the supervisor's environment without what is the supervisor's own",
	"vizion":                     "status tells the commit that a build was made of",
	"source_map_support":         "give node --enable-source-maps in command",
	"disable_source_map_support": "source maps are node's own",
	"post_update":                "the build in place is what a reload starts",
	"autostart":                  "'supervisor stop' is remembered",
}

// leftOver speaks of a key that has no like here.
func (w *writer) leftOver(key string, v any) {
	if on, ok := v.(bool); ok && !on {
		return // it is off here, too
	}
	reason := cmp.Or(reasons[key], "there is nothing like it here")
	w.comment("%s %s: not carried over: %s", key, shown(v), reason)
}

// text is a plain value as JavaScript writes it, "" for any other.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// words are those of a list, or of a string that a shell would split.
func words(v any) []string {
	switch v := v.(type) {
	case []any:
		var all []string
		for _, each := range v {
			all = append(all, text(each))
		}
		return all
	case string:
		return split(v)
	}
	return nil
}

// split splits at spaces outside of quotes, as PM2 does.
func split(s string) (all []string) {
	var word strings.Builder
	var quoted rune
	begun := false
	for _, c := range s {
		switch {
		case quoted != 0 && c == quoted:
			quoted = 0
		case quoted == 0 && (c == '"' || c == '\''):
			quoted, begun = c, true
		case quoted == 0 && unicode.IsSpace(c):
			if begun {
				all = append(all, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if begun {
		all = append(all, word.String())
	}
	return all
}

func number(v any) (n float64, ok bool) {
	n, err := strconv.ParseFloat(text(v), 64)
	return n, err == nil
}

// milliseconds reads a number of them, or a duration such as "1h" or "10s"; 0 if
// it is neither.
func milliseconds(v any) float64 {
	if n, ok := number(v); ok {
		return n
	}
	d, err := time.ParseDuration(text(v))
	if err != nil {
		return 0
	}
	return float64(d.Milliseconds())
}

func (w *writer) milliseconds(key string, v any) {
	if n := milliseconds(v); n > 0 {
		w.set(key, quote(duration(n)))
	}
}

func duration(ms float64) string { return (time.Duration(ms) * time.Millisecond).String() }

// shown is a value as a comment shows it. Tables are not: they may hold secrets.
func shown(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "{…}"
	case string:
		return quote(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}
