// Package mongo is the store for production: [chat.Store] on a MongoDB
// database, which several hosts may share.
//
//	events    {room, seq, at, kind, author, name, nonce, text}
//	          unique (room, seq↓) and, for ever, unique (room, author, nonce)
//	sessions  {_id: hash of the token, user, name, created_at, expires_at}
//	meta      {_id: "log", epoch, generation}
//
// # How an event gets its seq
//
// There is no counter: one would leave holes behind every crash. An append
// inserts at the head plus one and lets the unique index decide:
//
//	     ┌──────────── insert at head+1, head+2, … ◄───────────┐
//	     ▼                      │                              │
//	all stored             duplicate key                  outcome unknown
//	     │                      │                              │
//	   done        read by nonce: is it stored already?  read by nonce
//	                 yes │              │ no                   │
//	               a duplicate    read the head again ─────────┘
//
// A duplicate key is told apart by reading, never by the server's words: the
// nonce first, then the head.
//
// # Why it holds
//
//  1. Seqs are dense. An event is inserted at n+1 only where n is known to be
//     stored by a majority, or stands before it in the same ordered insert,
//     which stops at its first failure. No event is ever deleted.
//  2. What is read or acknowledged is never taken back: writes wait for the
//     journals of a majority, reads see only what a majority has. Of what a
//     cut connection or a lost election left unknown nothing is assumed.
//  3. Exactly once: the index on (room, author, nonce) is permanent, so
//     repeating an unknown append stores what is missing and nothing else.
//  4. Without both indexes nothing above holds: Open makes them, and a store
//     that lacks one is not ready.
//  5. A batch is not one transaction, which a standalone server has not: of one
//     whose outcome is unknown, some first part may be stored.
//  6. The connection string is a secret. No error shows more of it than hosts,
//     database and options that hold no secret.
//  7. Nobody is starved: who appends without pause leaves a gap now and then,
//     and after each append while it meets others.
//
// # Who owns what
//
// One append of a [Store] goes on at a time; it owns the heads that are
// remembered from the append before. Other processes' appends make them stale,
// which costs one more round. Everything else is the driver's, which is safe
// for concurrent use.
package mongo
