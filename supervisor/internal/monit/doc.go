// Package monit is the live view of a supervisor in a terminal: what runs, what
// drains, how deploys end, and what the workers write.
//
//	status, each second ─┐
//	log lines ───────────┼─► model ──► view, as wide and high as the terminal
//	keys, size ──────────┘     └─► reload, start, stop, restart
//
// # Invariants
//
//  1. The view is exactly the terminal's size: no line wraps, whatever a program
//     is called or writes.
//  2. What a program writes cannot steer the terminal: see [logs.Printable].
//  3. Memory is bounded: of lines the last [maxLines] are kept.
//  4. A supervisor that goes, or is replaced by another, does not end it.
//  5. What ends or restarts a program is asked once more.
package monit
