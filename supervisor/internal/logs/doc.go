// Package logs carries what workers and the supervisor write to the
// supervisor's own output without ever blocking on it, and keeps the last
// lines of every generation for the reason of a verdict.
//
//	worker ──pipe──► Stream (lines) ──► Tail (last lines, for the verdict)
//	                                └─► Output (bounded queue) ──► stderr
//
// # Invariants
//
//  1. Nobody who writes ever waits: what the queue cannot hold is dropped,
//     counted, and told when there is room again.
//  2. Lines of two writers never mix within a line; a line without its end is
//     written when its stream closes.
//  3. Memory is bounded: by the queue, by a line's length, by the tail.
package logs
