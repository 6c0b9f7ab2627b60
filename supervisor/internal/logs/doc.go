// Package logs carries what workers and the supervisor write to the
// supervisor's own output without ever blocking on it, keeps the last lines of
// every generation for the reason of a verdict, and the last ones of every
// program for whoever asks.
//
//	                             ┌─► Tail (last lines of a generation, for the verdict)
//	worker ──pipe──► Stream ─────┼─► Ring (last lines of a program) ◄──cursor── Follow, File ──► disk
//	                (lines)      └─► Output (bounded queue) ──► stderr
//	supervisor's log ────────────────►
//
// A follower of a [Ring] is a cursor into it, not a queue: it reads at its own
// pace, and one that is overtaken is told how many lines it missed. For systemd
// and what else understands sd-daemon(3), an Output can put its [Priority] in
// front of every line.
//
// # Invariants
//
//  1. Nobody who writes ever waits for one who reads: what the queue cannot
//     hold is dropped, what the ring cannot hold makes room.
//  2. What is dropped is counted, and told: by the output when there is room
//     again, by the ring to each follower, in its place among the lines. What a
//     follower was told and what it was told to have lost is what was added,
//     each line once.
//  3. Lines of two writers, and so of two generations, never mix within a line;
//     a line without its end is kept and written when its stream closes.
//  4. What reaches the output in one Write is whole lines, each with its
//     priority if the output tells them.
//  5. Memory is bounded: by the queue, by a line's length, by the tail, by the
//     ring, and for a follower by a batch.
//  6. The lines of one stream keep their order everywhere.
//  7. A [File] writes each line once, or counts it: what a full disk does not take
//     is tried again, and waits in the ring.
package logs
