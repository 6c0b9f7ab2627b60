// Package upgrade replaces a running supervisor by another build of itself. That
// the new one starts, comes up in time or changes nothing is tableflip's; what it
// takes over goes by a socket beside, at the last moment.
//
//	old                                   new
//	 │  start, with one end of a socket ──►│  reads its settings
//	 │◄────────────────────────────── ask  │
//	 │  stands still                       │
//	 │  descriptors by name … all ────────►│  understands what they mean
//	 │◄──────────────── ready (tableflip)  │
//	 │  ends                               │  waits for that end
//	                                       │  is the supervisor
//
// # Invariants
//
//  1. Until it is ready the new one touches nothing that it was given, and the old
//     one can go on as if nothing had been.
//  2. The new one gives up when the old one has died before that: whoever starts
//     the supervisor starts it again. Once it is ready it is the supervisor,
//     whatever becomes of the old one.
//  3. There is one upgrade at a time.
package upgrade
