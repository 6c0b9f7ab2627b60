package metrics

import (
	"io"
	"strings"
)

// family is what the text format calls all series of one name.
type family struct {
	name   string
	labels []string // in the order of the alphabet, as they are told
}

// help says what each family of ours is, by its name.
var help = map[string]string{}

func newFamily(name, text string, labels ...string) family {
	name = "supervisor_" + name
	help[name] = text
	return family{name, labels}
}

// series names one series as the text format does. The library takes a name with
// its labels as it is.
func (f family) series(values ...string) string {
	if len(f.labels) == 0 {
		return f.name
	}
	pairs := make([]string, len(f.labels))
	for i, label := range f.labels {
		pairs[i] = label + `="` + escapes.Replace(values[i]) + `"`
	}
	return f.name + "{" + strings.Join(pairs, ",") + "}"
}

// escapes are all that the text format knows: strconv.Quote has more of them.
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// writeWithHelp writes text to w, in which the library has left every HELP empty,
// as it knows none. Where the family is not ours it stays so.
func writeWithHelp(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "# HELP "); ok {
			if words := help[strings.TrimSpace(name)]; words != "" {
				line = strings.TrimSpace(line) + " " + words + "\n"
			}
		}
		io.WriteString(w, line)
	}
}
