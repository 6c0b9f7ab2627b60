// Package control is the operator's API: HTTP and JSON over a Unix socket in
// the state directory. The types of its answers are the contract that
// `supervisor status --json` prints.
//
//	GET  /v1/status               Status
//	POST /v1/reload               {"id"}: asks for a deploy and returns at once
//	GET  /v1/deploys/{id}/steps   Step objects, one a line, until the verdict
//
// Whoever may open the socket may use it: it is made with mode 0600 in a
// directory of mode 0700.
package control
