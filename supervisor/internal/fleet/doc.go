// Package fleet is all programs of a supervisor: which there are, from where,
// and what an operator has done with them. It turns configuration into plans
// for the instances of package supervise, and is what the API operates.
//
//	configuration file ┐
//	command line       ├─► programs ─► plans ─► instances (package supervise)
//	record (run time)  ┘       ▲
//	                           └── control API, signals
//
// # Invariants
//
//  1. A change is checked as a whole before any of it happens: configuration,
//     environment files, sockets, for every program. A mistake rejects the
//     deploy of all of them, and nothing has changed.
//  2. What an operator adds, stops or starts is in the record before he is told
//     that it is done, or he is told that it is not.
//  3. Only a deploy, a start or a restart reads configuration and environment
//     anew. A crash does not.
//  4. A socket that no configuration names any more is closed only after every
//     program has accepted that configuration.
package fleet
