//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// appendSummary tells in Markdown what a deploy did and how it ended, at the end
// of a file.
func appendSummary(path, id string, steps []control.Step, ended error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(markdown(id, steps, ended))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// markdown is the text. What a program wrote is in an indented block, out of which
// no line leads.
func markdown(id string, steps []control.Step, ended error) string {
	var b strings.Builder
	verdict := "accepted"
	if ended != nil {
		verdict = "not deployed"
	}
	for _, s := range steps {
		if v := verdictIn(s); v != control.Pending && (ended == nil) == (v == control.Accepted) {
			verdict = string(v)
		}
	}
	fmt.Fprintf(&b, "### %s: %s\n\n", id, verdict)
	for _, s := range steps {
		fmt.Fprintf(&b, "    %s\n", strings.TrimRight(fmt.Sprintf("%-10s %s", s.Step, printable(oneLine(s.Detail))), " "))
		for _, l := range lastWords(s) {
			fmt.Fprintf(&b, "      | %s\n", printable(l))
		}
	}
	if message := lastWord(ended); message != "" {
		fmt.Fprintf(&b, "    %s\n", printable(oneLine(message)))
	}
	return b.String() + "\n"
}

// lastWords are those of the build whose verdict a step is.
func lastWords(s control.Step) []string {
	if verdictIn(s) == control.Pending {
		return nil
	}
	return s.Deploy.Output
}

// verdictIn is the verdict that a step brings.
func verdictIn(s control.Step) control.Verdict {
	if s.Deploy == nil {
		return control.Pending
	}
	return s.Deploy.Verdict
}

func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
