// Package chat is what a browser and the chat worker say to each other over
// one WebSocket: kinds, fields, limits and validation. It knows nothing of
// rooms, stores or sockets, so that server, load tool and tests share it.
//
// Every text frame holds one or more lines separated by '\n'; every line is
// one JSON object whose "t" names its kind. Unknown fields are ignored, an
// unknown kind is answered with err, so that an older and a newer build
// overlap. Binary frames are refused.
//
//	client                                   server
//	  │ hello{v,epoch,rooms:{room:seq},at}──► │  first line, within 10 s
//	  │  ◄── welcome{v,epoch,user,ping_ms,reads}
//	  │  ◄── ev{room,seq,…} …                 │  everything after each cursor
//	  │  ◄── live{room,seq}                   │  caught up; or, before the evs,
//	  │  ◄── reset{room,after,head}           │  forget the room, go on at after+1
//	  │ post{room,nonce,text}            ──►  │
//	  │  ◄── ack{room,nonce,seq,ts}           │  durable
//	  │  ◄── nak{room,nonce,code,retry_ms?}   │  retry_ms: same nonce again later
//	  │ join{room,seq} · leave{room}     ──►  │  rooms opened and closed later on
//	  │ edit{room,nonce,of,text}         ──►  │  answered by ack or nak, as a post;
//	  │ del{room,nonce,of}               ──►  │  everybody gets an ev of that kind
//	  │ react{room,nonce,of,emoji,on}    ──►  │
//	  │ get{room,before|after|around,limit} ► │
//	  │  ◄── page{room,events,more,more_after?}
//	  │ read{room,seq}                   ──►  │  durable soon, and never goes back
//	  │  ◄── read{room,seq}                   │  another connection of the user has read
//	  │ typing{room}                     ──►  │  at most every 3 s
//	  │  ◄── typing{room,users}               │  at most once a second
//	  │  ◄── pres{room,n,users|join|left}     │
//	  │ ping ──► pong   ·   ping ◄── pong     │  either side may ask
//	  │  ◄── err{code,msg}                    │  a line that made no sense
//	  │  ◄── bye{why,after_ms}                │  then a close; come back after_ms later
//	  │                                       ╳  the worker was killed, the socket lives on
//	  │  ◄── resync                           │  the next worker knows nothing of it
//	  │ hello{…} · post{room,nonce,text} ──►  │  as far as it goes; what has no answer again
//	  │  ◄── welcome{…}, ev, live …           │  as after any hello
//
// # Invariants
//
//  1. Within a room, ev lines arrive with contiguous seq, starting at the
//     client's cursor+1 (or at reset.after+1). No gap, no repeat.
//  2. A cursor of 0 asks for the whole room, a cursor of -1 for its last page.
//     A client that is more than [MaxMissed] behind, ahead of the head, of
//     another epoch, or that holds another event at its cursor than the log has
//     there (by its time) gets reset and the last page: whatever older state a
//     store was restored to, nobody goes on from what it does not have.
//  3. ack is written only after the post is durable. A post without an answer
//     has an unknown outcome: send it again with the same nonce. (room,
//     author, nonce) is unique for ever, so it is stored at most once and the
//     second ack names the first one's seq.
//  4. ack and ev for one post may arrive in either order.
//  5. Close codes 4000–4499, 1001, 1006, 1011, 1012 and 1013 mean reconnect;
//     4500 and above mean stop: trying again cannot help.
//  6. After resync the server says nothing but ping, pong and bye until it has
//     read a hello, and drops without an answer what it reads before: that was
//     written by a client that could not know, and a post among it may follow
//     on one that died with the worker. The client forgets which rooms it has
//     opened and what it has asked for, takes back a bye, and answers with
//     hello at its present cursors; then it repeats, in their order and with
//     their nonces, all posts without an answer. From welcome on everything is
//     as after a first hello.
//  7. A resync may come at any time, also before the welcome, and again before
//     the hello it asked for was read. So a connection that was asked takes
//     every hello, and each starts anew at its own cursors: the events of an
//     earlier one may then come a second time.
//  8. An ev is an event of the log as it is: a post, or what became of a post
//     later (edit, del, react, with its seq in "of"). Pages hold posts only,
//     each with all of that folded into it, and "rev", the last seq of it. So a
//     client that holds a post with a rev ignores the evs about it up to there,
//     and an ev about a post it does not hold.
//  9. Folding needs no judgement: an edit or react behind the del changes
//     nothing, the last edit counts, and of one user and emoji the last react.
//  10. A del erases. The texts of the post and of its edits are empty from then
//     on, in evs of the past too. What is older than the room's limits is
//     erased as well, to events of kind void: they keep their seqs and nonces,
//     so no cursor breaks.
//  11. A line that makes no sense is answered with err as long as its sender may
//     say more; then the connection is closed with [CloseBadFrame], and what stands
//     behind it in its frame is not done.
package chat
