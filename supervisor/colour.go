//go:build linux

package main

import (
	"github.com/fatih/color"

	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// colours says how states, verdicts and steps look on a terminal. All of them
// take the same number of invisible bytes, which keeps tables straight.
var colours = map[string]color.Attribute{
	"running": color.FgGreen, "accepted": color.FgGreen,
	"starting": color.FgYellow, "swapping": color.FgYellow, "baking": color.FgYellow, "pending": color.FgYellow,
	"returning": color.FgYellow, "superseded": color.FgYellow, "stopping": color.FgYellow,
	"backoff": color.FgRed, "rejected": color.FgRed, "returned": color.FgRed,
}

// plain is the terminal's own colour, whatever its background (ECMA-48, SGR 39).
const plain color.Attribute = 39

// inColour is text in the colour of what word means; plain where it would not
// be seen (no terminal, $NO_COLOR).
func inColour(text, word string) string {
	attribute, known := colours[word]
	if !known {
		attribute = plain
	}
	return color.New(attribute).Sprint(text)
}

// printable is a program's output as a terminal may be given it.
func printable(line string) string { return logs.Printable(line) }
