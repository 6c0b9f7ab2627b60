// Package proto is what the supervisor and a worker say to each other. It uses
// the standard library and golang.org/x/sys only, so that any Go server can
// import it and be deployed without losing a client.
//
// A worker is started with its listening sockets by the LISTEN_FDS contract of
// sd_listen_fds(3) ([Listeners]) and with one end of a control socket
// ([Join]). A program that knows neither proto nor the control socket runs as
// well: it takes LISTEN_FDS, says READY=1 to NOTIFY_SOCKET (sd_notify(3)) and
// drains on SIGTERM.
//
//	supervisor                                worker, generation n
//	    │  socketpair, spawn  ───────────────────►  │
//	    │  hello{versions, generation}  ─────────►  │
//	    │  ◄────────  hello{versions, build, pid}   │
//	    │                                           │  opens store, warms caches
//	    │  ◄─────────────────────────────  ready    │
//	    │  go  ──────────────────────────────────►  │  accepts from here on
//	    │  ping  ──►  ◄──  pong · stats{conns}      │  once a second
//	    │  peers{n}  ────────────────────────────►  │  others of this program on this host
//	    │  ◄──  publish{data}      deliver{data} ►  │  from one worker to all the others
//	    │  drain{why, rate, timeout}  ───────────►  │  stops accepting, closes paced
//	    │  ◄───────────────  drained · bye{reason}  │  and ends
//
// A worker whose connections are to outlive it joins with the formats of their
// state ([Join]), gets an arena with the supervisor's hello, and says more:
//
//	│  ◄────────────  keep{ids, metas, fds}     │  before a client is answered
//	│  ◄──────────  note{metas} · drop{ids}     │
//	│  adopt{fds} ─►  ◄── built                 │  a worker that takes over: holds
//	│  freeze ─────►  ◄── frozen{state}         │  the one before: stands still
//	│  load{state} ►  ◄── loaded                │
//	│  go{word} ───►  ◄── live                  │  the new one is the owner
//	│  recover{word} ►  ◄── live                │  the same after a death
//	│  resume ──────────────────────────────►   │  the swap is off
//	│  release ─────────────────────────────►   │  the swap is done
//	│  release{apart} ──────────────────────►   │  nobody takes all of it: late{state} for each
//	│  ◄── late{state}        late{state} ──►   │  a straggler, old to new
//	│  rekeep ─────►  ◄── keep … · rekept       │  everything again
//	│                     ◄── refused{why}      │  for any of these
//
// Who does what when, and who dies when, is package swap. What a worker has to
// do for it is package ws.
//
// # Packets
//
// The control socket is a SOCK_SEQPACKET pair: one packet is one message, the
// kind's name, a space and a JSON object, at most [MaxPacket] bytes, with at
// most [MaxFDs] descriptors (SCM_RIGHTS). See [Conn].
//
// # Invariants
//
//  1. A truncated packet or one whose descriptors did not all arrive is a
//     protocol error and ends the conversation; it is never ignored.
//  2. Nobody blocks in Send ([Peer]). A full queue is the sender's to handle:
//     the worker drops publish, because doorbells may be lost, and keep, note
//     and drop, because they can be told again (rekept).
//  3. Unknown fields are ignored; an unknown kind is answered with unknown,
//     which is never answered. Two peers without a common version part before
//     the worker is ready.
//  4. A worker does not accept before go. One that is killed before it has
//     never been seen by a client.
//  5. EOF on the control socket tells a worker that nobody supervises it any
//     more: it drains and ends, by a hard timer whatever hangs ([Worker.Run]).
//  6. EOF tells the supervisor nothing but that: death is the process's end.
//  7. A descriptor received belongs to the receiver, who closes it; a
//     descriptor that is given to [Peer.Send] belongs to the peer, which closes
//     it once it is sent; [Conn.Send] leaves it the caller's.
//  8. The [Arena] belongs to the supervisor, which never maps it: a worker
//     cannot hurt it there. Its ownership word changes by compare-and-swap.
package proto
