// Package sqlite is the embedded store: [chat.Store] on one SQLite database in
// a directory of its own.
//
//	DIR/simpletalk.db       the database, in WAL mode (and its -wal and -shm)
//	DIR/simpletalk.lock     the right to write; holds the pid of who had it last
//
// Two processes use it at once: the old and the new worker of a deploy. Both
// write, so every write, the opening and the migration happen under a flock on
// the lock file, taken before BEGIN IMMEDIATE: SQLite's own busy wait starves
// one of two busy writers, the flock shares evenly. Waiting for it is bounded.
//
//	Append, PutSession, … ──jobs──► writer ──► lock ──► BEGIN IMMEDIATE … COMMIT (fsync)
//	After, Before, Head, … ───────► a few read-only connections, never blocked by the writer
//
// # Who owns what
//
//   - The writer, one goroutine per [Store], owns the connection that writes
//     and is the only one to take the lock. A caller whose context ends leaves
//     its job to the writer; the disk can hang without hanging the caller.
//   - The lock is one open file description per Store, never duplicated or
//     passed on, so it ends with its process whatever happens to it.
//   - What is damaged is never written again, repaired or deleted: from the
//     first sign of damage the Store refuses to write.
//
// # Schema
//
// Migrations only add. PRAGMA user_version is thousands·generation + step: a
// build accepts every database of its generation, of later steps too, so that
// the old build still runs after the new one has migrated. Therefore a later
// step may add tables, indexes that are not unique, and columns with defaults,
// and an insert names its columns.
package sqlite
