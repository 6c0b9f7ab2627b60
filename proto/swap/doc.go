// Package swap decides who owns the connections of an instance while one
// worker hands them to another. It is pure: the worker's shell is package
// proto/ws, the supervisor's is its own; the messages and the ownership word
// are those of package proto.
//
//	supervisor                 old worker (7)                new worker (8)
//	    │                      serving                       waiting
//	    │  adopt{fds} ─────────────────────────────────────►  │ holds them
//	    │  ◄─────────────────────────────────────────  built  │
//	    │  freeze ───────────►  │ freezing                    │
//	    │                       │   handlers end              │
//	    │                       │ word: serving(7)            │
//	    │                       │     → frozen(7, swap)       │
//	    │  ◄── frozen{state}    │ frozen                      │
//	    │  load{state} ────────────────────────────────────►  │ loaded
//	    │  ◄────────────────────────────────────────  loaded  │
//	    │  go{from} ───────────────────────────────────────►  │ word: frozen(7, swap)
//	    │                       │                             │     → serving(8)
//	    │  ◄──────────────────────────────────────────  live  │ serving
//	    │  release ──────────►  │ retired                     │
//
// Until go, anything that goes wrong is answered by resume to the old worker:
// it claims the word back, frozen(7, swap) → serving(7), and its clients have
// noticed a pause. It does so by itself when the supervisor has gone, or says
// nothing for [Silence]. The word is changed by compare-and-swap only: of
// “take over” and “take back” one wins, and who loses touches nothing.
//
// The worker, [Role]:
//
//	waiting  ── load ─────► loaded
//	waiting, loaded ── go ─► claims; won: serving, lost: as before
//	waiting  ── recover ──► claims; won: serving, lost: as before
//	serving  ── freeze ───► freezing
//	freezing ── quiet ────► claims; won: frozen
//	freezing ── resume, orphaned ─► serving
//	frozen   ── resume, silence, orphaned ─► claims back; won: serving, lost: retired
//	frozen   ── release ──► retired (apart: what stood still is given away like stragglers)
//
// The supervisor, [Stage]:
//
//	adopting   ── built ──► freezing ── frozen ──► loading ── loaded ──► going ── live ──► done
//	adopting, freezing ── old died ──► orphaned ── built ──► recovering ── live ──► done
//	any before going ── refused, new died, overdue, cancelled ──► failed
//	going, recovering ── refused ──► failed
//	going      ── new died before its claim ──► failed     (the old one resumes)
//	going      ── new died after it ──────────► fallen     (what it owned is nobody's)
//	recovering ── new died ──► failed
//
// # Invariants
//
//  1. At most one worker touches the streams: reads, writes or accepts.
//  2. A worker touches them only after it has won the word, and until it gives
//     the word away.
//  3. While the supervisor lives every swap ends: done, failed or fallen.
//  4. When a swap has failed and the old worker lives, it serves.
//  5. When the supervisor dies and a worker that had the streams lives, one
//     serves.
//  6. What the supervisor has read in the word after a death is still there
//     when the worker it tells claims it: nobody else could have changed it.
//
// The test visits every interleaving of every step, message and death, and
// checks all of them.
package swap
