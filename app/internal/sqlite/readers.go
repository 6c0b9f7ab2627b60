package sqlite

import (
	"context"
	"database/sql"
	"net/url"
	"time"
)

// readers are a few connections that cannot write.
type readers struct {
	db                                            *sql.DB
	after, before, head, rooms, session, sessions *sql.Stmt

	postsBefore, postsAfter, about, stored *sql.Stmt
	search, floor, reads, unsearched       *sql.Stmt
	account, accountByKey, accounts        *sql.Stmt
	userSessions, changes                  *sql.Stmt
}

// maxReaders bounds the connections that read. Each may cache readCache.
const maxReaders = 3

// readCache bounds what a connection keeps in memory: 256 KiB (PRAGMA
// cache_size counts those in negative numbers). Beyond it the system caches.
const readCache = "cache_size(-256)"

func openReaders(dir directory, busy time.Duration) (*readers, error) {
	db, err := sql.Open("sqlite", dir.uri(busy, url.Values{
		"mode":        {"ro"},
		"_query_only": {"1"},
		"_pragma":     {readCache},
	}))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxReaders)
	db.SetMaxIdleConns(maxReaders)
	return &readers{db: db}, nil
}

// prepare needs the tables.
func (r *readers) prepare(ctx context.Context) error {
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&r.after, "SELECT " + columns + " FROM events WHERE room = ? AND seq > ? ORDER BY seq LIMIT ?"},
		{&r.before, "SELECT " + columns + " FROM events WHERE room = ? AND seq < ? ORDER BY seq DESC LIMIT ?"},
		{&r.head, "SELECT coalesce(max(seq), 0) FROM events WHERE room = ?"},
		{&r.rooms, roomHeads},
		{&r.postsBefore, "SELECT " + columns + " FROM events WHERE room = ? AND kind = 'post' AND seq < ? ORDER BY seq DESC LIMIT ?"},
		{&r.postsAfter, "SELECT " + columns + " FROM events WHERE room = ? AND kind = 'post' AND seq > ? ORDER BY seq LIMIT ?"},
		{&r.about, "SELECT " + columns + ` FROM events INDEXED BY events_about
			WHERE room = ? AND about > 0 AND about IN (SELECT value FROM json_each(?)) ORDER BY seq`},
		{&r.stored, "SELECT " + columns + " FROM events WHERE room = ? AND author = ? AND nonce = ?"},
		{&r.search, searchPosts},
		{&r.floor, roomFloor},
		{&r.reads, "SELECT room, seq FROM reads WHERE user = ?"},
		{&r.unsearched, unsearchedRoom},
		{&r.session, "SELECT " + sessionColumns + " FROM sessions WHERE token_hash = ? AND expires_at > ?"},
		{&r.sessions, "SELECT " + sessionColumns + " FROM sessions WHERE expires_at > ?"},
		{&r.userSessions, "SELECT " + sessionColumns + " FROM sessions WHERE user = ? AND expires_at > ? ORDER BY created_at DESC"},
		{&r.account, "SELECT " + accountColumns + " FROM accounts WHERE user = ?"},
		{&r.accountByKey, "SELECT " + accountColumns + " FROM accounts WHERE name_key = ?"},
		{&r.accounts, "SELECT " + accountColumns + " FROM accounts"},
		{&r.changes, "SELECT subject, at, mark FROM changes WHERE at >= ? ORDER BY at"},
	} {
		stmt, err := r.db.PrepareContext(ctx, p.query)
		if err != nil {
			return err
		}
		*p.stmt = stmt
	}
	return nil
}
