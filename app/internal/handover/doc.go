// Package handover lets the chat go on in another process: it is what package
// proto/ws wants of a server whose WebSockets move, in terms of the hub's state
// and the web server's.
//
//	                  old process                      new process
//	                                                   hub held from the start
//	every connection  │ meta ── by the supervisor ───► │ web.Adopt: rooms warm
//	                  │ stands still                   │
//	one by one        │ web.Save ─── connection ─────► │ web.Load: a member again
//	all of them       │ chat.State ─── hub ──────────► │ chat.Load, before
//	                  │ hub held                       │
//	                  │            ── “go” ──►         │ web.Live: the hub wakes
//	taken back        │ web.Live: the hub wakes        │
//	old one killed    ╳                                │ web.Recover: asks the client
//
// # Invariants
//
//  1. A client that moves is told every event once and in order, and nothing
//     that it was told before: no reset, no live, no list of people.
//  2. Nobody sees anybody come or go because of a move, nor the peers of other
//     processes: from the state on the old hub tells no presence, the new one
//     none before it wakes.
//  3. What passes of a time-out passes in both processes together: durations
//     travel, clocks do not.
//  4. After a kill -9 a client is asked where it is and told nothing before it
//     answers; the others see it all the while.
//  5. A state is encoded in the version asked for, and one of a version that
//     this build does not know is refused. Unknown fields are ignored.
//
// # Versions
//
//	2  the hub, and of each connection its member, whether it was asked where it
//	   is, its waits and its bucket
//	1  the same without waits and buckets: they start afresh
package handover
