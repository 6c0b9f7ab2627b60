// Package control is the operator's API: HTTP and JSON over a Unix socket in
// the state directory. The types of its answers are the contract that
// `supervisor status --json` and the other reading commands print.
//
//	GET    /v1/status                      Status
//	GET    /v1/programs/{name}             Description
//	GET    /v1/logs?program=&lines=&since=&err=&follow=
//	                                       log lines, one a line
//	GET    /v1/deploys/{id}/steps          Step objects, one a line, until the verdict
//	POST   /v1/reload                      DeployRequest → Requested: returns at once
//	POST   /v1/programs                    NewProgram → Done
//	POST   /v1/programs/{name}/{operation} Operation → Done
//	POST   /v1/programs/{name}/signal      SignalRequest → Done
//
// A refusal is {"error"}: 400 for a mistake in what was asked, 403 for whoever
// may not, 404 for what does not exist, 409 for what is not possible now, 503
// while the supervisor stops.
//
// # Invariants
//
//  1. Whoever changes something is the supervisor's own user, root, or a member
//     of the configured group, as the kernel tells (SO_PEERCRED and
//     SO_PEERGROUPS, socket(7)), and is named in the log.
//  2. No value of an environment variable is ever answered.
package control
