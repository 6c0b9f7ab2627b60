// Package metrics tells Prometheus how the supervisor and its programs do.
//
//	status, at each scrape ────────────────┐
//	pauses, broken connections, verdicts ──┴─► families ─► /metrics on loopback or a Unix socket
//	                                                    └► the control socket
//
// # Invariants
//
//  1. A scrape costs one status and holds up nobody. Without one nothing is
//     computed.
//  2. Names and labels of ours are a contract with dashboards: they are added to,
//     never changed. Those of the process and of Go are the library's; the tests
//     name the ones that dashboards ask for.
//  3. Counters begin at 0 in every supervisor, as Prometheus expects of a process
//     that was started anew; restarts go on, as they do in status.
package metrics
