// Package load proves what the chat promises: many clients talk on a running
// site while somebody deploys to it or kills it, and afterwards everything that
// was said is accounted for. It is what `app load` runs.
//
// # What runs
//
// Config.Clients WebSocket clients are spread over Config.Rooms rooms made for
// the run; Config.Chatters of them post Config.Rate messages a second in all,
// on a schedule that spaces the messages of a room evenly. A message carries
// its author, its number among that author's messages to that room, and when
// it was due. Client i is in room i modulo Rooms; when there are fewer chatters
// than rooms each chatter is in several. Each client does what a good client
// has to: it keeps a cursor per room, repeats unanswered posts with the same
// nonce, answers ping, obeys bye, says hello again when it is asked to resync,
// reads what a reset skipped, and comes back with full jitter.
//
// Unless Config.Plain is set, of every ten clients one sends its messages in
// fragments with pings between them and pauses inside a frame, one sends
// pings, and one reads slowly.
//
// Probers ask for pages meanwhile, over raw connections that repeat nothing by
// themselves: one takes a fresh connection for each of twenty requests a second,
// ten keep theirs as long as the server does and ask once a second each. Every
// tenth request is a POST.
//
// On a loopback target the clients and requests come from addresses spread over
// 127.0.0.0/8, so that a limit per address meets what it would meet in life.
//
// # What is counted
//
// When the posting has ended, the run waits until everything acknowledged has
// arrived everywhere (at most Config.Settle), and then reads each room's log
// over HTTP. A copy is one event at one member of its room. Then
//
//   - lost is every copy of a stored event that did not arrive, every event that
//     arrived but is not stored, every acknowledged message that is not stored,
//     and every message that was never acknowledged;
//   - duplicated is every copy that came again, whether by its place in the log
//     (seq) or by its author's number, and every message stored again;
//   - reordered is every copy that came after a later one, by seq or by its
//     author's number, every message stored so, every member whose copy is not
//     in the order of the log, and every message that is not where its
//     acknowledgement said.
//
// What a reset skipped and what a server sends again after it is no fault, nor
// what comes twice because two resyncs crossed (see proto/chat, invariant 7). A
// message that the server refused for the moment (nak with retry_ms) may stand
// behind its author's later ones.
//
// A disconnect is the end of a WebSocket that this side did not end, bye or
// not. It counts as broken instead when all of this holds:
//
//   - there was no close frame;
//   - it happened around a change of pid: between a second before the old pid
//     answered /healthz for the last time and two seconds after the new one
//     answered first;
//   - the old pid went without a goodbye: no client read a bye, or a close frame
//     of code 1001 or 1012, in that time;
//   - the client was not asked to resync since the old pid answered last: then
//     it has survived that kill, and something else ended it;
//   - the client was in mid-message, and had been since before the new pid
//     answered first.
//
// In mid-message is who has received a part of a message; who is writing a
// frame, or the fragments of a message, or could not write them; and who has
// written something that is not answered: hello, post, get or ping. Of the last
// only the server knows how much it had read when it died, for a read(2) may
// end anywhere in what the client wrote at once. An end with nothing under way
// is a disconnect: after a kill that connection could have been handed on. Plain
// clients write so little at a time that it is read whole or not at all, so no
// kill should break them.
//
// From outside nobody can tell a kill -9 better than that; where the rule
// doubts, it says disconnect.
//
// An HTTP request has failed when it was refused, when its answer was cut or
// is not 2xx, or took longer than ten seconds. A GET that was cut before the
// first byte of its answer is retried: repeated once on a fresh connection,
// where it fails or not. A POST is never repeated.
//
// # What is measured
//
// Latency runs from when a message was due to when another member of its room
// has it. Silence is how much longer a client had to wait between two events of
// its room (or from the begin of the posting to its first one) than the longest
// pause in the schedule of that room; time without a connection counts. What
// the troublesome clients do to themselves is left out: messages of those that
// fragment have no latency, those that read slowly have neither.
//
// The timeline has an entry for each pid that began to answer /healthz. Its
// silences are those that overlap the time from the last answer of the pid
// before to two seconds after the first of the new, or to the next change: the
// longest of each client, of which p99 and the maximum are told.
package load
