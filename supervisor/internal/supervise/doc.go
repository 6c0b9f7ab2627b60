// Package supervise decides when a worker is started, serves and ends, and
// owns the workers of an instance while it does.
//
// The decisions are a pure function, next(state, event) → state, actions; one
// goroutine ([Instance.Run]) owns all state, turns what happens into events
// and carries the actions out.
//
//	           start                  ready
//	stopped ──────────► starting ──────────────► running ◄──────────┐
//	   ▲                 │    ▲                  │  │  ▲            │
//	   │ empty    failed │    │ retry    crashed │  │  │ ready,     │
//	   │                 ▼    │                  │  │  │ failed     │
//	stopping ◄────────── backoff ◄───────────────┘  │  │            │
//	   ▲        stop                         reload ▼  │            │
//	   └──────── (from everywhere) ───────────── swapping ──────────┘
//	                                                │ crashed
//	                                                └───────► starting
//
// # Invariants
//
//  1. The old worker serves until the new one is ready; one that fails changes
//     nothing. While the new one is not ready a further reload kills it and
//     starts anew; the earlier request gets the later one's verdict.
//  2. A crash restart runs the build that was last good, pinned. Only a reload
//     chooses another.
//  3. The first restart of a worker that was stable is at once; later ones wait
//     longer and longer, with full jitter, and never end.
//  4. Every reload ends in a verdict with a reason, on every path.
//  5. A worker that drains has its deadline; after it, it is killed. A worker
//     that stops answering is hung: SIGABRT, then SIGKILL.
package supervise
