// Package fdstore keeps descriptors by name for the supervisor that comes after
// this one, however this one ends.
//
//	          Put, Hold                     Take
//	owners ─────────────► Store ◄──────────────────── owners, after the start
//	                        │ All: to the next supervisor, on an upgrade
//	                        ▼ Put only
//	                     Keeper: systemd's store, which outlives a crash
//
// Beside descriptors a supervisor leaves what it knows: a [Document] is a
// descriptor of memory that holds text whole, whatever moment its writer is
// killed at.
//
// # Invariants
//
//  1. A descriptor in the Store is its owner's: the owner removes it before it
//     closes it.
//  2. When Put returns, the descriptor outlives this process. What cannot be
//     kept is an error, and works on until this process ends.
//  3. What nobody takes after a start is dropped, here and at the Keeper: its
//     other end sees that nobody wants it any more.
//  4. Few descriptors, never the clients': from thousands on systemd's own loop
//     stalls.
package fdstore
