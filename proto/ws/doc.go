// Package ws is the WebSocket of this house: a small API over
// github.com/coder/websocket, of which it is the only importer.
//
// It owns the net.Conn under the library, for three reasons: an idle
// connection holds no buffer, every frame of the server reaches the kernel as
// one piece, and whoever owns the stream can move it to another process at any
// byte, without the peer's knowledge.
//
// # A connection's life
//
//	http handler                one goroutine per connection
//	  │ Accept ─► *Conn           │ conn.Serve(handle)
//	  │ go conn.Serve(…)          │   message ─► handle ─► replies by conn.Write
//	  └ returns                   │   message ─► handle ─► …
//	                              └ returns when the connection has ended
//
// Each message is read and handled on a goroutine of its own, while Serve's
// waits: that one never grows, and an idle connection's stack stays the smallest
// there is.
//
// # Promises
//
//  1. Serve calls its handler for one message after the other, never two at
//     once, and does not read on before the handler has returned. A handler
//     that replies does so before it returns: between two messages nothing is
//     under way.
//  2. Write and Close may be called by any goroutine. A frame is never mixed
//     with another, and none follows the close frame.
//  3. Write blocks at most WriteTimeout, Close at most [Linger], beside the
//     time for which the connection stands still. A peer that does not read
//     costs nobody but the goroutine that writes to it.
//  4. However it ends, Serve returns with the socket closed, at most [Linger]
//     after Close.
//  5. No deadline is ever a context: one that ended inside the library would
//     close the connection without a code.
//
// A server that wants nothing but its WebSockets to outlive its deploys and
// crashes needs a [Keeper] and a [Service]; the example of the package is such a
// server. What follows is what they are made of.
//
// Compression is never negotiated: its window costs far more memory than the
// connection, and could not be moved.
//
// # A connection that moves
//
// The new process adopts a duplicate of each descriptor while the old one
// still serves. The pause is from Freeze to Resume; only snapshots travel in
// it, of an idle connection some twenty bytes.
//
//	old process                                new process
//	serving  │ Duplicate ── fd ──────────────► Adopt │ held
//	         │                                 Serve │   waits, reads nothing
//	freezing │ Freeze                                │
//	         │   the handler ends                    │
//	frozen   │ Snapshot ── bytes ────────────► Load  │ loaded
//	         │               ◄── “go”, once ──►      │
//	moved    │ Release                        Resume │ serving
//	         └ Serve returns ErrMoved                │
//
// Whatever goes wrong before “go”: the old process calls Thaw, the new one
// ends or calls CloseNow, and the peer has noticed a pause. That only one of
// Thaw and Resume is ever called is not decided here: see the ownership words
// of package proto.
//
//	state     │ freeze   (quiet)  (goodbye) thaw     load    resume   release  close
//	──────────┼──────────────────────────────────────────────────────────────────────
//	serving   │ freezing          serving                                      closed
//	freezing  │          frozen   serving   serving                            closed
//	frozen    │                             serving                   moved    later
//	held      │                                      loaded  serving           closed
//	loaded    │                                              serving           closed
//	moved     │
//	closed    │
//
// Quiet: the handler and the library hold nothing, no frame waits for the
// kernel. Goodbye: a close frame was sent, by whomever; such a connection ends
// where it is. An empty field refuses, and changes nothing. “Later” is when it
// is thawed.
//
// # Promises of a move
//
//  6. Every byte of the peer is given to one handler, every frame that Write
//     has accepted reaches the peer once, no pong is lost or sent twice:
//     wherever in a frame, a message or a control frame between fragments the
//     move happens.
//  7. Freeze and Thaw wake no reader and wait for nobody.
//  8. A connection that is frozen, held or moved is neither read nor written,
//     and its peer learns nothing, whoever closes it here: the caller, the
//     library, its finalizer.
//  9. A frozen connection keeps at most 256 KiB of a message in progress and
//     256 KiB of frames that its peer has not read. A longer message is
//     finished first.
//  10. The flags that all duplicates of a socket share are never changed.
//
// A handler must not leave a goroutine that answers later, or a freeze does
// not know of it; it may write as much as it likes, but beyond 256 KiB it then
// waits for its peer, and delays the freeze.
//
// # After a crash
//
// A process that dies with a connection in use leaves no snapshot. But the
// kernel knows how far the stream was read and written ([StreamPositions]),
// and the connection's record, in memory that outlives the process
// ([proto.Arena]), where its messages end. If they agree
// ([proto.RecordState.Sound]) the next process adopts the connection and calls
// Resume without Load: it goes on between two messages. What the dead process
// had read but not answered is lost, and the application's to repair. If they
// do not agree the connection can only be shut down.
//
// # A worker's keeper
//
// A [Keeper] does all that for every connection of a process that runs under a
// supervisor. It is the shell around the worker's half of package swap, which
// has the picture of a swap, the roles of a worker and its invariants. Beside
// those it promises:
//
//  11. A client is answered (101) only after the supervisor was given a
//     duplicate of its connection.
//  12. While connections stand still nobody is accepted and no upgrade is
//     answered; clients wait in the kernel's queue, requests in Accept.
//  13. A handler that outlasts the freeze makes its own connection late, and
//     nobody else's. It follows by itself; so does a WebSocket that is opened
//     over an HTTP connection to a worker which has been replaced.
//  14. What the supervisor could not be told because it did not read is told
//     again later. The keeper never waits for it.
//  15. A message during which two workers in a row have died is not handled a
//     third time: its sender is closed with 1011.
package ws
