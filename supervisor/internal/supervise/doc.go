// Package supervise decides when a worker is started, serves and ends, and
// owns the workers of an instance while it does.
//
// The decisions are a pure function, next(state, event) → state, actions; one
// goroutine ([Instance.Run]) owns all state, turns what happens into events
// and carries the actions out.
//
//	stopped    ── start, reload ──► starting
//	starting   ── ready ──────────► baking
//	           ── failed, fell ───► backoff
//	baking     ── baked ──────────► running     (its build is the last good one now)
//	           ── crashed ────────► backoff     (returned: the last good build is next)
//	           ── unfit ──────────► returning
//	           ── reload ─────────► replacing
//	running    ── reload ─────────► swapping
//	           ── crashed ────────► backoff
//	           ── finished ───────► stopped     (its restart policy leaves it at that)
//	swapping   ── ready ──────────► baking
//	           ── failed ─────────► running
//	           ── fell ───────────► backoff     (the candidate took over, and died of it)
//	           ── crashed ────────► starting    (the candidate is on its way)
//	replacing  ── as swapping, with a build on trial in the place of a good one
//	returning  ── ready ──────────► running     (returned)
//	           ── failed ─────────► ailing ── retry ──► returning
//	           ── crashed ────────► restarting
//	backoff    ── retry ──────────► restarting
//	           ── start, reload ──► starting
//	restarting ── ready ──────────► running
//	           ── failed ─────────► backoff
//	           ── reload ─────────► queued
//	queued     ── ready ──────────► swapping    (the reload begins now)
//	           ── failed ─────────► starting
//	any        ── stop ───────────► stopping ── empty ──► stopped
//
// A candidate whose connections move is ready when it has taken over: between
// the worker's word and that event lies a handover, whose decisions are those
// of package proto/swap. Reload and stop call it off, or wait the milliseconds
// in which it cannot be called off.
//
// # Invariants
//
//  1. The old worker serves until the new one is ready; one that fails changes
//     nothing. While the new one is not ready a further reload kills it and
//     starts anew; the earlier request gets the later one's verdict. A reload
//     never kills the last good build that comes back after a crash: it waits.
//  2. A worker accepts when it is told to go, not when it says ready: killing
//     one that was not promoted costs no client.
//  3. A crash restart runs the build that was last good, pinned, with the plan
//     (environment, settings) that it had. Only a reload chooses others.
//  4. The first restart of a worker that was stable is at once; later ones wait
//     longer and longer, with full jitter, and never end.
//  5. Every reload ends in a verdict with a reason, on every path.
//  6. A worker that drains has its deadline; after it, it is killed. A worker
//     that stops answering is hung: SIGABRT, then SIGKILL.
//  7. A worker that dies leaves its connections to the next one, that takes them
//     within 30 s; else their peers see the end. When a candidate has taken over
//     and dies before it could say so, the last good build is the next one.
//     An instance that ends while others of its program stay leaves them its
//     connections, one by one.
//  8. A build is good once it has served for its bake time. Until then its crash,
//     its silence or its failing health check brings the last good one back; which
//     that is does not change while a trial is open, however many deploys follow.
//  9. What a supervisor after this one needs is in the store before a worker is
//     started, and what it has to know is written when an event is over: it goes on
//     in the state of the last one ([Instance.Restore]). A candidate has taken over
//     if the ownership word says so; else it is given up, and its deploy rejected.
//  10. While a handover cannot be called off, whatever would call it off waits. It
//     goes on when the event that ended the handover has been dealt with in full.
package supervise
