// Package keep holds duplicates of an instance's live connections, so that they
// outlive the worker that serves them, and knows who owns which.
//
//	worker 7 ── keep{fd} ──►  kept: owner 7
//	                            │ Offer(8), Batch …    8 holds a duplicate too
//	                            │ Take(8)              owner 8: it went live
//	worker dies ── Abandon ──►  owner nobody: an orphan
//	                            │ Offer, Batch, Take   the next worker's
//	                            │ Shut                 or its peer sees the end
//	worker 7 ── drop ────────►  closed here too
//
// # Invariants
//
//  1. A kept connection has one owner, a generation or nobody. Only what the
//     owner says of it counts: keep, note, drop.
//  2. This process never reads or writes a connection, nor asks its poller about
//     it. Closing its own duplicate tells the peer nothing; Shut does.
//  3. There is room for so many, the arena's records: a worker that finds none
//     does not have its connection kept. One that keeps more than it was given
//     room for loses the duplicate, not the connection.
//  4. Nothing here waits for anybody.
//
// A Keep belongs to one goroutine.
package keep
