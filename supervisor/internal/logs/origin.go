package logs

import (
	"fmt"
	"strings"
)

// Origin is which worker of a program wrote a line.
type Origin struct {
	Gen      int
	Instance int  // one of several, from 0
	Several  bool // the program has more than one
}

// Alone is how it is told where the program is not: [7], or 1[7].
func (o Origin) Alone() string { return strings.TrimPrefix(o.String(), ".") }

// String is what stands behind the program's name: [7], or .1[7] of one of several
// instances.
func (o Origin) String() string {
	if o.Several {
		return fmt.Sprintf(".%d[%d]", o.Instance, o.Gen)
	}
	return fmt.Sprintf("[%d]", o.Gen)
}
