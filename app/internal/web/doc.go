// Package web is the chat on HTTP: the page, the JSON API and the WebSocket of
// proto/chat.
//
//	GET    /  /r/{room}                    the page
//	GET    /ui/…                           its files
//	GET    /ws                             the conversation of package proto/chat
//	GET    /healthz                        {"version","commit","gen","pid"}
//	GET    /readyz                         200 ready, or 503 and why not
//	GET    /api/site                       {"signup":"open"|"closed"|"code"}
//	POST   /api/session                    {"name"} or {"name","password"} → cookie, and as GET
//	GET    /api/session                    {"user","name","guest","admin"}, or 401
//	DELETE /api/session                    ends it and its connections
//	GET    /api/sessions                   [{"id","created","seen","agent","here"}]
//	DELETE /api/sessions                   ends all others
//	DELETE /api/sessions/{id}              ends one
//	POST   /api/account                    {"password","code"?} keeps the name
//	DELETE /api/account                    {"password"} ends the user; what they posted stays
//	PUT    /api/account/password           {"old","new"}; ends all other sessions
//	GET    /api/rooms                      {"rooms":[{"room","head","members"}]}
//	GET    /api/rooms/{room}/events        ?after=SEQ or ?before=SEQ, &limit=N
//	GET    /api/rooms/{room}/search        ?q=WORDS, &before=SEQ, &limit=N; with a session
//
// An API error is {"error":{"code","msg"}}; the message says what is wrong and
// what would be right, and is safe to show.
//
// # Who may connect
//
//  1. A connection lives by its session. What ends one, or changes who its user is,
//     is told through the store; the watcher of each process looks at the
//     connections of that user again, within 250 ms (see watch.go).
//  2. Each connection, each user and each address has a budget for what costs the
//     store something, users and addresses the same one in all processes that the bus
//     joins; an address has so many WebSockets and connections without one in each
//     process (see budget.go). A peer on this machine that speaks for nobody is not
//     counted.
//  3. A sign-in may be repeated with the cookie that was sent first: its session goes
//     on for half a minute, under the new name.
//  4. While the store is away clients stay, and are told so when they ask for
//     something. If it is away from this host alone, as the doorbells of others tell,
//     they are sent to those (see stranded.go).
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
