package logs

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
)

func TestPriorityOf(t *testing.T) {
	for _, test := range []struct {
		name, line string
		want       Priority
		rest       string // "" when it is the line
	}{
		{"plain", "listening", Info, ""},
		{"blank", "", Info, ""},
		{"marked", "<4>disk is filling", Warning, "disk is filling"},
		{"the highest", "<0>fire", Emerg, "fire"},
		{"the lowest", "<7>x", Debug, "x"},
		{"only marked", "<3>", Err, "-"},
		{"marked twice", "<3><4>x", Err, "<4>x"},
		{"marked and with a level", "<7>level=ERROR msg=x", Debug, "level=ERROR msg=x"},
		{"no such mark", "<8>x", Info, ""},
		{"a tag", "<b>x", Info, ""},
		{"unended mark", "<3", Info, ""},
		{"with a facility", "<13>x", Info, ""},
		{"mark within", "x <3>", Info, ""},
		{"text error", `time=2026-01-02T15:04:05.678Z level=ERROR msg="reload refused"`, Err, ""},
		{"text warning", "time=2026-01-02T15:04:05.678+01:00 level=WARN msg=x", Warning, ""},
		{"text info", "time=2026-01-02T15:04:05.678Z level=INFO msg=x", Info, ""},
		{"text debug", "time=2026-01-02T15:04:05.678Z level=DEBUG msg=x", Debug, ""},
		{"text without time", "level=WARN msg=x", Warning, ""},
		{"text, more than an error", "level=ERROR+4 msg=x", Err, ""},
		{"text, more than info", "level=INFO+2 msg=x", Notice, ""},
		{"text, less than debug", "level=DEBUG-4 msg=x", Debug, ""},
		{"text, unknown level", "level=LOUD msg=x", Info, ""},
		{"text, the level ends the line", "level=WARN", Warning, ""},
		{"text, cut", "time=2026", Info, ""},
		{"text, quoted", `time=2026-01-02T15:04:05.678Z msg="x level=ERROR msg=y"`, Info, ""},
		{"text, said in the message", `level=INFO msg="level=ERROR "`, Info, ""},
		{"JSON error", `{"time":"2026-01-02T15:04:05.678Z","level":"ERROR","msg":"x"}`, Err, ""},
		{"JSON warning", `{"level":"WARN","msg":"x"}`, Warning, ""},
		{"JSON debug", `{"level":"DEBUG","msg":"x"}`, Debug, ""},
		{"JSON, in the message", `{"level":"INFO","msg":"\"level\":\"ERROR\""}`, Info, ""},
		{"JSON, in a group", `{"msg":"x","request":{"level":"ERROR"}}`, Info, ""},
		{"JSON, cut", `{"time":"2026`, Info, ""},
		{"JSON, no string", `{"level":3}`, Info, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.line
			if test.rest != "" {
				want = strings.TrimPrefix(test.rest, "-")
			}
			if got, rest := PriorityOf([]byte(test.line)); got != test.want || string(rest) != want {
				t.Errorf("got %s, %q, want %s, %q", got, rest, test.want, want)
			}
		})
	}
}

// The table above quotes slog; this asks it.
func TestPriorityOfWhatSlogWrites(t *testing.T) {
	for level, want := range map[slog.Level]Priority{
		slog.LevelDebug - 1: Debug, slog.LevelDebug: Debug, slog.LevelInfo - 1: Debug, slog.LevelInfo: Info,
		slog.LevelInfo + 1: Notice, slog.LevelWarn: Warning, slog.LevelWarn + 1: Warning, slog.LevelError: Err, slog.LevelError + 9: Err,
	} {
		var text, json bytes.Buffer
		all := &slog.HandlerOptions{Level: slog.Level(-100), AddSource: true}
		slog.New(slog.NewTextHandler(&text, all)).Log(t.Context(), level, "a message", "level", "ERROR")
		slog.New(slog.NewJSONHandler(&json, all)).Log(t.Context(), level, "a message", "level", "ERROR")
		for _, line := range [][]byte{text.Bytes(), json.Bytes()} {
			if got, _ := PriorityOf(line); got != want {
				t.Errorf("%s of %q, want %s", got, line, want)
			}
		}
	}
}

func TestPriorityString(t *testing.T) {
	for p, want := range map[Priority]string{Emerg: "emerg", Err: "err", Debug: "debug", -1: "priority -1", 8: "priority 8"} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What a supervisor under systemd writes: its own lines and a worker's.
func TestAnOutputWithPriorities(t *testing.T) {
	for _, test := range []struct {
		name, own, worker  string
		plain, prioritized string
	}{
		{"nothing", "", "", "", ""},
		{"plain", "", "hello\n", "chat[7] hello\n", "<6>chat[7] hello\n"},
		{"blank", "", "\n", "chat[7] \n", "<6>chat[7] \n"},
		{"marked", "", "<4>hm\n", "chat[7] <4>hm\n", "<4>chat[7] hm\n"},
		{"without an end", "", "<2>oh", "chat[7] <2>oh\n", "<2>chat[7] oh\n"},
		{"worker's level", "", "level=ERROR msg=x\n", "chat[7] level=ERROR msg=x\n", "<3>chat[7] level=ERROR msg=x\n"},
		{"own level", "level=WARN msg=x\n", "", "level=WARN msg=x\n", "<4>level=WARN msg=x\n"},
		{"own several", "a\n<3>b\nlevel=DEBUG \n", "", "a\n<3>b\nlevel=DEBUG \n", "<6>a\n<3>b\n<7>level=DEBUG \n"},
		{"own without an end", "a\nb", "", "a\nb\n", "<6>a\n<6>b\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := piped(t, NewOutput, test.own, test.worker); got != test.plain {
				t.Errorf("plain: got %q, want %q", got, test.plain)
			}
			if got := piped(t, NewPrioritizedOutput, test.own, test.worker); got != test.prioritized {
				t.Errorf("with priorities: got %q, want %q", got, test.prioritized)
			}
		})
	}
}

// piped is what arrives through a pipe when the supervisor writes own, and a
// worker worker.
func piped(t *testing.T, output func(io.Writer) *Output, own, worker string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := output(w)
	stop := run(o)
	io.WriteString(o, own)
	s := NewStream("chat[7] ", o, new(Tail))
	io.WriteString(s, worker)
	s.Close()
	stop()
	w.Close()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(all)
}

func TestOneWriteIsWholeLines(t *testing.T) {
	var out lines
	o := NewPrioritizedOutput(&out)
	stop := run(o)
	var writing sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for range 100 {
				io.WriteString(o, "one\ntwo")
				o.WriteLine("> ", []byte("<3>three"))
			}
		})
	}
	writing.Wait()
	stop()
	if len(out.all) != 800 {
		t.Errorf("%d writes of 800", len(out.all))
	}
	for _, got := range out.all {
		if got != "<6>one\n<6>two\n" && got != "<3>> three\n" {
			t.Fatalf("one Write of %q", got)
		}
	}
}

// What is dropped is counted in lines, and told even when nothing comes after.
func TestDroppedLinesAreTold(t *testing.T) {
	for _, test := range []struct {
		name   string
		output func(io.Writer) *Output
		want   string
	}{
		{"plain", NewOutput, "supervisor: 3 lines dropped: nobody read the output\n"},
		{"with priorities", NewPrioritizedOutput, "<4>supervisor: 3 lines dropped: nobody read the output\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out lines
			o := test.output(&out)
			o.Write([]byte("a\nb\n" + strings.Repeat("x", queueBytes) + "\n"))
			run(o)()
			if out.text() != test.want {
				t.Errorf("got %q, want %q", out.text(), test.want)
			}
		})
	}
}
