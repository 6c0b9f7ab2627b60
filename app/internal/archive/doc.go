// Package archive takes a whole chat from one store to another, as a stream of
// JSON lines:
//
//	{"t":"log","version":2,"epoch":E,"rooms":R,"events":N}     first; how much is coming
//	{"t":"event","room":…,"seq":…,"at":MS,"kind":…,"author":…,"name":…,"nonce":…,"text":…,"of":SEQ?,"emoji":…?,"on":BOOL?}
//	{"t":"account","user":…,"name":…,"key":…,"password":HASH,"admin":BOOL,"created_at":MS,"banned_at":MS,"deleted_at":MS}
//	{"t":"session","hash":HEX,"user":…,"name":…,"created_at":MS,"expires_at":MS,"seen_at":MS,"agent":…,"retired":BOOL}
//	{"t":"end","rooms":R,"events":N,"sessions":S,"accounts":A,"sha256":HEX} last; the digest of all lines before
//
// Rooms follow one another, each from its first event to its last. A store may
// be written meanwhile: the stream holds each room up to where it ended when
// the export began, which a log that only grows still has.
//
// # Invariants
//
//  1. A stream without its last line is not complete, and nothing that reads
//     one takes it for complete.
//  2. An import holds at any moment one batch of events, whatever the stream's
//     length.
//  3. Before an import begins, the database is empty, or the caller has said
//     that it need not be. Then what is stored stays, and must be what the
//     stream has in its place.
//  4. An import that ends well has read back from the database that every room
//     ends where the stream says.
package archive
