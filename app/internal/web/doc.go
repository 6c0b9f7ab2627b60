// Package web is the chat on HTTP: the page, the JSON API and the WebSocket of
// proto/chat.
//
//	GET    /  /r/{room}                    the page
//	GET    /ui/…                           its files
//	GET    /ws                             the conversation of package proto/chat
//	GET    /healthz                        {"version","commit","gen","pid"}
//	GET    /readyz                         200 ready, or 503 and why not
//	POST   /api/session                    {"name"} → cookie and {"user"}
//	GET    /api/session                    {"user"}, or 401
//	DELETE /api/session                    ends it and its connections
//	GET    /api/rooms                      {"rooms":[{"room","head","members"}]}
//	GET    /api/rooms/{room}/events        ?after=SEQ or ?before=SEQ, &limit=N
//
// An API error is {"error":{"code","msg"}}; the message says what is wrong and
// what would be right, and is safe to show.
//
// # Lifetimes
//
// [Server.Run] returns when everything it started has ended. [Server.Drain]
// stops accepting by closing this process's listeners, which refuses nobody as
// long as another process holds the same sockets, says goodbye to each
// WebSocket at a pace, and lets requests end. A WebSocket that stands still is
// not told: it moves, and is left to whoever goes on with it.
//
// # Moving
//
// With a [Keeper] that moves connections each WebSocket has a meta, which
// outlives a kill -9, and a [ConnState] that is taken while it stands still.
// Nothing is said unasked to a connection that stands still, and its client is
// not blamed for the pause; what passes of its time-outs is counted on.
package web
