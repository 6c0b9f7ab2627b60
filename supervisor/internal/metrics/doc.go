// Package metrics tells Prometheus how the supervisor and its programs do.
//
//	status, at each scrape ────────────────┐
//	pauses, broken connections, verdicts ──┴─► registry ─► /metrics on loopback or a Unix socket
//	                                                    └► the control socket
//
// # Invariants
//
//  1. A scrape costs one status and holds up nobody. Without one nothing is
//     computed.
//  2. Names and labels are a contract with dashboards: they are added to, never
//     changed.
//  3. Counters begin at 0 in every supervisor, as Prometheus expects of a process
//     that was started anew; restarts go on, as they do in status.
package metrics
