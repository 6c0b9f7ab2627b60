// Package release is the folder of installed releases and the link to the one
// that is current, and moves that link as a change that can be taken back.
//
//	/opt/simpletalk/current ──► releases/41
//	/opt/simpletalk/releases/
//	    41/  42/           each an artifact, unpacked: never changed afterwards
//	    .journal           of a change whose verdict is not known yet
//	    .new-42/ .old-37/  half unpacked, half removed
//
//	         Install            Begin                 Commit
//	artifact ───────► release ─────────► current, ─┬────────► current
//	         verify,           journal,  undecided │
//	         unpack,           settings,           │ Undo
//	         rename            link                └────────► as before
//
// # Invariants
//
//  1. A release is there whole or not at all, and holds what its artifact with
//     that checksum holds.
//  2. The link always names a release that was whole when it was moved there, and
//     it is moved in one step.
//  3. From the first step of a change that others can see until it is decided, the
//     journal on disk says how it was before. [Change.Undo] may be cut off and
//     repeated anywhere.
//  4. What a deploy that was killed has left is decided by the next one, before it
//     does anything else: by what the supervisor says of it ([Judge]).
//  5. The current release and the one before are never removed, nor is what
//     somebody else put into the folder.
//  6. One deploy at a time has the folder, by a lock on it.
//  7. What root deploys belongs to the owner of the folder, who can go on with it.
package release
