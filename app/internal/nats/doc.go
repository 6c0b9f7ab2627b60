// Package nats is the bus between hosts: doorbells, presence, what was used of
// rate limits and whatever else hubs tell each other travel over NATS core, which
// keeps nothing.
//
//	host 1                               host 2
//	Hub ──Publish──► queue ──► conn ──►┐  ┌──► conn ──Deliver──► Hub
//	 ▲                                 NATS                      │
//	 └──Deliver──────────────── conn ◄─┘  └◄── conn ◄── queue ◄──┘
//	 │                                                           │
//	 └─────────────── store: the truth, cursors repair from it ──┘
//
// What it promises:
//
//  1. Publish never blocks: what finds no room in the queue is lost.
//  2. Delivery is at most once for each publish over one connection, in the
//     order of the publisher. Nothing here is needed for a message to arrive: a
//     hub reads the heads of its rooms again about once a second.
//  3. While NATS is away nothing is kept for it. It is tried again for ever,
//     whatever the reason, a refused password included: somebody may put that right.
//  4. Each time it is back, the receiver is told: it says again who is here and
//     reads what it has missed.
//  5. A host does not hear itself, and hosts on different logs do not hear each
//     other: the subject names the log.
//  6. No text of a message, password or token is published or logged; of a server only its
//     address is shown. Whoever may publish on the subject can pretend that
//     somebody is here, or has used up what they may do for now, and no more than
//     that.
package nats
