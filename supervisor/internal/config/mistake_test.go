package config

import (
	"errors"
	"strings"
	"testing"
)

// mistakes returns what is wrong with the file, each as LINE:COLUMN: TEXT.
func mistakesOf(t *testing.T, text string, root bool) string {
	t.Helper()
	path := write(t, "x.toml", text)
	_, err := Load(path, root)
	var m Mistakes
	if err != nil && !errors.As(err, &m) {
		t.Fatalf("%T: %v", err, err)
	}
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), path+":", "")
}

func TestEachMistakeIsExplained(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		// The file as a whole.
		{"", `1:1: no program: there must be one at least, such as [program.chat] with command = ["/usr/bin/chat"]`},
		{"\n\n[program]", `1:1: no program: there must be one at least, such as [program.chat] with command = ["/usr/bin/chat"]`},
		{"program = 1", `1:1: program must be a table such as [program.chat], not a number`},
		{"[[program]]\ncommand = ['x']", `1:3: program must be a table such as [program.chat], not an array of tables`},
		{"[program]\ncommand = ['x']", `2:1: program.command must be a table such as [program.chat], not an array`},
		{"[[program.x]]\ncommand = ['x']", `1:11: program.x must be a table such as [program.chat], not an array of tables`},
		{"a = 1\na = 2", `2:1: key a is already defined`},
		{"a = ", `1:4: expected value, not end of input`},
		{"a = 1\n b = x", `2:6: unexpected character U+0078 'x' at start of value`},
		{"a = 99999999999999999999", `1:5: decimal number is too large to fit in a 64-bit signed integer`},
		{"a = 8e99999", `1:5: unable to parse float`},
		{"programm = 1\nprogram.x = { command = ['x'] }", `1:1: unknown key "programm": did you mean program?`},
		{"metrics.listen = '0.0.0.0:9464'\nprogram.x = { command = ['x'] }", `1:9: metrics.listen must be a loopback address such as "127.0.0.1:9464", or unix:///PATH, not "0.0.0.0:9464"`},
		{"zzz = 1\nprogram.x = { command = ['x'] }", `1:1: unknown key "zzz", known are control, environment, listen, metrics, program`},
		{"[program.'a b']\ncommand = ['x']", `1:10: the name "a b" must be 1 to 40 letters, digits, '-', '_' or '.'`},
		{"[program.\"a\\nb\"]", `1:10: the name "a\nb" must be 1 to 40 letters, digits, '-', '_' or '.'`},
		{"[program.x]\n", `1:10: program.x has no command: it must be an array of strings such as ["/usr/bin/chat", "serve"]`},
		{"[control]\ngroup = 'no such group'\n[program.x]\ncommand = ['x']", `2:1: control.group: this machine has no group "no such group"`},
		{"[control]\ngroup = ''\n[program.x]\ncommand = ['x']", `2:1: control.group must be the name of a group, not ""`},
		{"[control]\ngroups = 'root'\n[program.x]\ncommand = ['x']", `2:1: unknown key "control.groups": did you mean group?`},
	} {
		t.Run(test.text, func(t *testing.T) {
			if got := mistakesOf(t, test.text, true); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestEachMistakeOfListenIsExplained(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"http = 3000", `2:1: listen.http must be an address in quotes such as "127.0.0.1:3000", not 3000`},
		{"http = '3000'", `2:1: listen.http: address "3000": must be HOST:PORT, tcp://HOST:PORT or unix:///PATH?mode=0660`},
		{"'a:b' = ':1'", `2:1: the name "a:b" must be 1 to 40 letters, digits, '-', '_' or '.'`},
		{"a = ':1'\nb = 'tcp://:1'", `3:1: listen.b: a listens there already`},
		{"a = 'unix:///a'\n  b = 'unix:///a?mode=0600'", `3:3: listen.b: a listens there already`},
		{"a.b = ':1'", `2:1: listen.a must be an address in quotes such as "127.0.0.1:3000", not a table`},
	} {
		t.Run(test.text, func(t *testing.T) {
			if got := mistakesOf(t, "[listen]\n"+test.text+"\n[program.x]\ncommand = ['x']\n", false); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// One key each of a program that is right but for it.
func TestEachMistakeOfAProgramIsExplained(t *testing.T) {
	const (
		command   = `an array of strings such as ["/usr/bin/chat", "serve"]`
		envFile   = `a path in quotes or an array of them such as ["/etc/chat/env"]`
		stop      = `the name of a signal such as "TERM" or "SIGTERM"`
		on        = `"failure", "always", "never" or an array such as [1, 75, "SIGSEGV"]`
		neither   = ` is neither an exit code from 0 to 255 nor the name of a signal such as "SIGSEGV"`
		size      = `a size such as "400M" (a whole number, then K, M or G)`
		variable  = `must have letters, digits and '_', and not begin with a digit`
		reserved  = `only the supervisor may set it`
		duration  = `a duration in quotes such as "10s"`
		supported = `only a supervisor that runs as root can start a program as another `
	)
	for _, test := range []struct{ text, want string }{
		{"ready_timout = '10s'", `4:1: unknown key "ready_timout": did you mean ready_timeout?`},
		{"zzzzzz = 1", `4:1: unknown key "zzzzzz", known are bake, command, cron, dir, drain, env, env_file, environment, group, health, instances, kill_timeout, listen, log, memory_max, ready_after, ready_timeout, restart, stop_signal, user`},
		{"'' = 1", `4:1: unknown key "", known are bake, command, cron, dir, drain, env, env_file, environment, group, health, instances, kill_timeout, listen, log, memory_max, ready_after, ready_timeout, restart, stop_signal, user`},
		{"  drain = { rat = 1 }", `4:13: unknown key "drain.rat": did you mean rate?`},
		{"drain = '30s'", `4:1: drain must be a table such as { timeout = "30s" }, not a string`},
		{"drain.timeout.x = 1", `4:7: drain.timeout must be ` + duration + `, not a table`},
		{"[[program.x.drain]]\nrate = 1", `4:13: drain must be a table such as { timeout = "30s" }, not an array of tables`},
		{"[program.x.drain]\n\trate = 0", `5:2: drain.rate must be a whole number, 1 or more, not 0`},

		{"ready_timeout = 10", `4:1: ready_timeout must be ` + duration + `, not 10`},
		{"ready_timeout = '10'", `4:1: ready_timeout must be a duration such as "10s" or "1m30s", not "10"`},
		{"ready_timeout = '0s'", `4:1: ready_timeout must be more than 0s, not "0s"`},
		{"ready_timeout = 10:00:00", `4:1: ready_timeout must be ` + duration + `, not a date or time`},
		{"kill_timeout = '-1s'", `4:1: kill_timeout must be more than 0s, not "-1s"`},
		{"bake = '-1s'", `4:1: bake must be 0s or more, not "-1s"`},
		{"stop_signal = 15", `4:1: stop_signal must be ` + stop + `, not 15`},
		{"stop_signal = 'term'", `4:1: stop_signal must be ` + stop + `, not "term"`},
		{"stop_signal = 'SIG'", `4:1: stop_signal must be ` + stop + `, not "SIG"`},
		{"instances = 0", `4:1: instances must be 1 to 64, not 0`},
		{"instances = 65", `4:1: instances must be 1 to 64, not 65`},
		{"instances = '1'", `4:1: instances must be a number, not "1"`},
		{"dir = ''", `4:1: dir must be a path in quotes, not ""`},
		{`dir = "a\u0000b"`, `4:1: dir must be a path in quotes, not "a\x00b"`},
		{"dir = true", `4:1: dir must be a path in quotes, not true`},

		{"listen = 'http'", `4:1: listen must be an array of names of [listen] such as ["http"], not a string`},
		{"listen = ['htp']", `4:1: listen: [listen] has no "htp": did you mean http?`},
		{"listen = ['other']", `4:1: listen: [listen] has no "other", known are http`},
		{"listen = ['http', 'http']", `4:1: listen names "http" twice`},

		{"env = 'secret'", `4:1: env must be a table such as { NAME = "value" }, not a string`},
		{"env = { PORT = 8642 }", `4:9: env.PORT must be a string in quotes, not a number`},
		{"env.A.B = 'secret'", `4:5: env.A must be a string in quotes, not a table`},
		{"env = { A = 'x', '1A' = 'secret' }", `4:18: env: the name "1A" ` + variable},
		{"env.'' = 'secret'", `4:5: env: the name "" ` + variable},
		{"env.a-b = 'secret'", `4:5: env: the name "a-b" ` + variable},
		{`env.A = "secret\u0000"`, `4:5: env.A has a zero byte, which no variable can hold`},
		{"env.LISTEN_FDS = 'x'", `4:5: env.LISTEN_FDS: ` + reserved},
		{"env.LISTEN_FDNAMES = 'x'", `4:5: env.LISTEN_FDNAMES: ` + reserved},
		{"env.LISTEN_PID = 'x'", `4:5: env.LISTEN_PID: ` + reserved},
		{"env.NOTIFY_SOCKET = 'x'", `4:5: env.NOTIFY_SOCKET: ` + reserved},
		{"env.SIMPLETALK_CONTROL_X = 'x'", `4:5: env.SIMPLETALK_CONTROL_X: ` + reserved},
		{"env_file = 1", `4:1: env_file must be ` + envFile + `, not a number`},
		{"env_file = [1]", `4:1: env_file must be ` + envFile + `, not one with a number`},
		{"env_file = '-'", `4:1: env_file must be ` + envFile + `, not ""`},
		{"env_file = ['']", `4:1: env_file must be ` + envFile + `, not ""`},

		{"drain.handover = 'yes'", `4:7: drain.handover must be true or false, not "yes"`},
		{"drain.rate = 1.5", `4:7: drain.rate must be a whole number, 1 or more, not 1.5`},
		{"drain.generations = 0", `4:7: drain.generations must be a whole number from 1 to 50, not 0`},
		{"drain.generations = 51", `4:7: drain.generations must be a whole number from 1 to 50, not 51`},
		{"restart = { min = '2s', max = '1s' }", `4:25: restart.max (1s) must not be less than restart.min (2s)`},
		{"restart = { min = '31s' }", `4:1: restart.max (30s) must not be less than restart.min (31s)`},
		{"restart = { min = '31s', max = 0 }", `4:26: restart.max must be ` + duration + `, not 0`},
		{"restart.on = 'sometimes'", `4:9: restart.on must be ` + on + `, not "sometimes"`},
		{"restart.on = 75", `4:9: restart.on must be ` + on + `, not 75`},
		{"restart.on = []", `4:9: restart.on: the list is empty, which is written "never"`},
		{"restart.on = [256]", `4:9: restart.on: "256"` + neither},
		{"restart.on = [-1]", `4:9: restart.on: "-1"` + neither},
		{"restart.on = [1, 'SIGFOO']", `4:9: restart.on: "SIGFOO"` + neither},
		{"restart.on = [[1]]", `4:9: restart.on: "an array"` + neither},
		{"restart.on = [1, 'always']", `4:9: restart.on: "always" stands alone, not in a list`},
		{"memory_max = 400", `4:1: memory_max must be a size in quotes such as "400M", not 400`},
		{"memory_max = '400m'", `4:1: memory_max must be ` + size + `, not "400m"`},
		{"memory_max = '-1M'", `4:1: memory_max must be ` + size + `, not "-1M"`},
		{"memory_max = '9999999999G'", `4:1: memory_max must be ` + size + `, not "9999999999G"`},
		{"memory_max = '400'", `4:1: memory_max must be 1M or more, not "400"`},
		{"log.memory = '63K'", `4:5: log.memory must be 64K or more, not "63K"`},
		{"log.memory = '257M'", `4:5: log.memory must be 256M or less, not "257M"`},
		{"log.zzzzzz = '1M'", `4:5: unknown key "log.zzzzzz", known are compress, every, file, format, keep, keep_days, max_size, memory`},
		{"ready_after = '10s'", `4:1: ready_after (10s) must be less than ready_timeout (10s)`},
		{"environment.x = { evn = {} }", `4:19: unknown key "environment.x.evn", known are env, env_file`},
		{"environment.x = { env = { A = 1 } }", `4:27: environment.x.env.A must be a string in quotes, not a number`},
		{"environment.'a b' = {}", `4:13: the name "a b" must be 1 to 40 letters, digits, '-', '_' or '.'`},
		{"cron = 'soon'", `4:1: cron must be a schedule as in crontab(5) such as "0 4 * * *", or "@daily", not "soon"`},
		{"cron = 'TZ=x'", `4:1: cron must be a schedule as in crontab(5) such as "0 4 * * *", or "@daily", not "TZ=x"`},
		{"cron = '0 0 31 2 *'", `4:1: cron: "0 0 31 2 *" never comes`},
		{"log.file = ''", `4:5: log.file must be a path in quotes, not ""`},
		{"log.format = 'xml'", `4:5: log.format must be one of "plain", "time", "json", not "xml"`},
		{"log.max_size = '1K'", `4:5: log.max_size must be 1M or more, not "1K"`},
		{"log.max_size = '1025K'", `4:5: log.max_size must be a whole number of M such as "100M", not 1025K`},
		{"log.every = '1s'", `4:5: log.every must be "1m" or more, or "0s" for never, not "1s"`},
		{"log.keep = -1", `4:5: log.keep must be a whole number, 0 or more, not -1`},
		{"log.compress = 'gzip'", `4:5: log.compress must be true or false, not "gzip"`},

		{"health.http = 'readyz'", `4:8: health.http must be a path such as "/readyz", not "readyz"`},
		{"health.http = '/a b'", `4:8: health.http must be a path such as "/readyz", not "/a b"`},
		{"health = { http = '/', listen = 'htp' }", `4:24: health.listen: the program does not listen on "htp": did you mean http?`},
		{"listen = []\nhealth.http = '/'", `5:8: health.http: there is nothing to ask, the program needs a listener such as listen = ["http"]`},
		{"listen = []\nhealth.listen = 'http'", `5:8: health.listen: the program does not listen on "http": there is none at all`},
		{"listen = ['htp']\nhealth = { http = '/', listen = 'htp' }", `4:1: listen: [listen] has no "htp": did you mean http?`},
		{"listen = 'http'\nhealth.http = '/'", `4:1: listen must be an array of names of [listen] such as ["http"], not a string`},
		{"health.failures = 0", `4:8: health.failures must be a whole number, 1 or more, not 0`},

		{"user = 'root'", `4:1: user: ` + supported + `user`},
		{"group = 'root'", `4:1: group: ` + supported + `group`},
		{"user = 'root'\ngroup = 'root'", "4:1: user: " + supported + "user\n5:1: group: " + supported + "group"},
		{"user = 0", `4:1: user must be the name of a user, not 0`},
		{"env = {}\nready_timeout = '" + strings.Repeat("x", 100) + "'", `5:1: ready_timeout must be a duration such as "10s" or "1m30s", not "` + strings.Repeat("x", 60) + `"…`},
	} {
		t.Run(test.text, func(t *testing.T) {
			got := mistakesOf(t, "listen = { http = ':1' }\n[program.x]\ncommand = ['x']\n"+test.text, false)
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if strings.Contains(got, "secret") || strings.Contains(got, "8642") {
				t.Errorf("it shows the value of a variable: %s", got)
			}
		})
	}
	for _, test := range []struct{ text, want string }{
		{"command = 'x'", command + `, not a string`},
		{"command = []", command + `, not an empty one`},
		{"command = ['']", command + `, not one that begins with an empty string`},
		{"command = ['x', 1]", command + `, not one with a number`},
		{`command = ['x', "a\u0000b"]`, command + `, not one with a zero byte`},
	} {
		t.Run(test.text, func(t *testing.T) {
			if got, want := mistakesOf(t, "[program.x]\n"+test.text, false), "2:1: command must be "+test.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestAllMistakesComeTogetherInTheOrderOfTheFile(t *testing.T) {
	got := mistakesOf(t, `[program.b]
bakes = "1s"
drain.timeout = 5
command = ["x"]
listen = ["web"]

[program.b.restart]
on = "often"

[program.a]
  bake = "soon"

[lisen]
[listen]
http = "nowhere"
`, false)
	want := `2:1: unknown key "bakes": did you mean bake?
3:7: drain.timeout must be a duration in quotes such as "10s", not 5
5:1: listen: [listen] has no "web", known are http
8:1: restart.on must be "failure", "always", "never" or an array such as [1, 75, "SIGSEGV"], not "often"
10:10: program.a has no command: it must be an array of strings such as ["/usr/bin/chat", "serve"]
11:3: bake must be a duration such as "10s" or "1m30s", not "soon"
13:2: unknown key "lisen": did you mean listen?
15:1: listen.http: address "nowhere": must be HOST:PORT, tcp://HOST:PORT or unix:///PATH?mode=0660`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(full), false)
	f.Add([]byte("[[program]]\na.b.c = [{x = 1}, {y.'\\n' = 2}]\n[program.\"a\\u0000\"]\nenv.A = 1"), true)
	f.Add([]byte("[program.x]\ncommand = ['x']\nuser = 'root'\ngroup = 'x'\nrestart.on = [1, 'SEGV', 1.5, 07:00:00]"), true)
	f.Add([]byte("[program.x]\r\n\tmemory_max = '1e3'\r\nlog = {memory = '9223372036854775807G'}\r\n"), false)
	f.Fuzz(func(t *testing.T, text []byte, root bool) {
		r := &reader{file: "x.toml", dir: "/etc", root: root}
		file := r.decode(text)
		for _, m := range r.mistakes {
			if m.Line < 1 || m.Column < 1 || m.Text == "" || strings.ContainsAny(m.String(), "\n\r") {
				t.Errorf("%q: %+v", text, m)
			}
		}
		if len(r.mistakes) == 0 && (len(file.Programs) == 0 || len(file.Programs[0].Command) == 0) {
			t.Errorf("%q: %+v", text, file)
		}
	})
}
