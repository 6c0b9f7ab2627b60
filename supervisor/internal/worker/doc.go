// Package worker runs one process: it starts it from a pinned build, in a
// process group of its own, with its listening sockets, its control socket and
// the environment it should have, hands on what it says and writes, and reaps
// it. It decides nothing.
//
//	supervisor ──fork──► our own executable ──execve──► the pinned build
//	                     (knows its pid: LISTEN_PID)     /proc/self/fd/N
//
//	descriptor 0 /dev/null · 1, 2 pipes · 3… listening sockets ·
//	then the control socket · then the build, close-on-exec
//
// # Invariants
//
//  1. No start changes the flags of a shared listening socket.
//  2. A signal never reaches a process that is not the worker: after it has
//     been reaped none is sent.
//  3. [Exited] is the last event; before it the group has been ended and the
//     output read, the partial last line of a crash included.
package worker
