// Package ws is the WebSocket of this house: a small API over
// github.com/coder/websocket, of which it is the only importer.
//
// It owns the net.Conn under the library, for three reasons: an idle
// connection holds no buffer, every frame of the server reaches the kernel as
// one piece, and whoever owns the stream can later move it to another process
// at a message boundary.
//
// # A connection's life
//
//	http handler                one goroutine per connection
//	  │ Accept ─► *Conn           │ conn.Serve(handle)
//	  │ go conn.Serve(…)          │   message ─► handle ─► replies by conn.Write
//	  └ returns                   │   message ─► handle ─► …
//	                              └ returns when the connection has ended
//
// # Promises
//
//  1. Serve calls its handler for one message after the other, never two at
//     once, and does not read on before the handler has returned. A handler
//     that replies does so before it returns: between two messages nothing is
//     under way.
//  2. Write and Close may be called by any goroutine. A frame is never mixed
//     with another, and none follows the close frame.
//  3. Write blocks at most WriteTimeout, Close at most [Linger]. A peer that
//     does not read costs nobody but the goroutine that writes to it.
//  4. However it ends, Serve returns with the socket closed, at most [Linger]
//     after Close.
//  5. No deadline is ever a context: one that ended inside the library would
//     close the connection without a code.
//
// Compression is never negotiated: its window costs far more memory than the
// connection, and could not be moved.
package ws
