package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func (s *Server) getRooms(w http.ResponseWriter, r *http.Request) {
	infos, err := s.o.Hub.Rooms(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	reads, err := s.readsOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	type room struct {
		Room    string `json:"room"`
		Head    int64  `json:"head"`
		Members int    `json:"members"`
		Read    int64  `json:"read,omitempty"` // how far the user has read; nothing: not at all, or no session
	}
	rooms := make([]room, len(infos))
	for i, info := range infos {
		rooms[i] = room{info.Name, info.Head, info.Members, reads[info.Name]}
	}
	writeJSON(w, http.StatusOK, map[string][]room{"rooms": rooms})
}

// readsOf returns how far whoever asks has read each room; without a session
// nowhere.
func (s *Server) readsOf(r *http.Request) (map[string]int64, error) {
	id, err := s.o.Auth.Who(r.Context(), s.token(r))
	if errors.Is(err, auth.ErrNoSession) || errors.Is(err, auth.ErrBanned) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.o.Hub.Reads(r.Context(), id.Session.User.ID)
}

// getSearch answers with the posts of a room that hold words, the newest first.
func (s *Server) getSearch(w http.ResponseWriter, r *http.Request) {
	id, err := s.o.Auth.Who(r.Context(), s.token(r))
	if err == nil {
		err = tooFast(s.o.Limits.userLines.take(id.Session.User.ID))
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	room := r.PathValue("room")
	g, err := parseRange(r.URL.Query())
	if err == nil {
		err = wire.ValidRoom(room)
	}
	if err == nil && g.after != nil {
		err = &apiError{kind: kindBadField, msg: "a search goes back: give before, not after"}
	}
	typed := r.URL.Query().Get("q")
	if err == nil && (len(typed) > maxQuery || len(chat.Query(typed)) == 0) {
		err = &apiError{kind: kindBadField, msg: fmt.Sprintf("q must hold a word, and at most %d bytes", maxQuery)}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	before := int64(math.MaxInt64)
	if g.before != nil {
		before = *g.before
	}
	found, err := s.o.Hub.Search(r.Context(), room, typed, before, cmp.Or(g.limit, wire.PageSize))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, struct {
		Room   string       `json:"room"`
		Events []wire.Event `json:"events"`
		More   bool         `json:"more"`
	}{room, found.Wire(id.Session.User.ID), found.More})
}

// maxQuery bounds what is searched for, in bytes.
const maxQuery = 200

// getEvents answers with a part of a room's log; without after or before with
// its last page.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	room := r.PathValue("room")
	if err := wire.ValidRoom(room); err != nil {
		s.fail(w, r, err)
		return
	}
	g, err := parseRange(r.URL.Query())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	head, err := s.o.Hub.Head(r.Context(), room)
	if err == nil && head == 0 && room != chat.Lobby {
		err = &apiError{kind: kindNotFound, msg: fmt.Sprintf("room %q has no events", room)}
	}
	var h chat.History
	if err == nil {
		h, err = history(r.Context(), s.o.Hub, room, g)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Room   string       `json:"room"`
		Epoch  string       `json:"epoch"`
		Head   int64        `json:"head"`
		Events []wire.Event `json:"events"`
		More   bool         `json:"more"`
	}{room, s.o.Hub.Epoch(), head, h.WireEvents(), h.More})
}

// span is a part of a log, in one of two directions.
type span struct {
	after  *int64
	before *int64
	limit  int
}

func parseRange(q url.Values) (g span, err error) {
	if g.after, err = parseSeq(q, "after"); err != nil {
		return g, err
	}
	if g.before, err = parseSeq(q, "before"); err != nil {
		return g, err
	}
	if g.after != nil && g.before != nil {
		return g, &apiError{kind: kindBadField, msg: "give either after or before, not both"}
	}
	limit, err := parseSeq(q, "limit")
	switch {
	case err != nil:
		return g, err
	case limit == nil:
		return g, nil
	case *limit < 1 || *limit > wire.MaxPage:
		return g, &apiError{kind: kindBadField, msg: fmt.Sprintf("limit %d is out of range, it must be 1 to %d", *limit, wire.MaxPage)}
	}
	g.limit = int(*limit)
	return g, nil
}

func parseSeq(q url.Values, key string) (*int64, error) {
	if !q.Has(key) {
		return nil, nil
	}
	n, err := strconv.ParseInt(q.Get(key), 10, 64)
	if err != nil || n < 0 {
		return nil, &apiError{kind: kindBadField, msg: fmt.Sprintf("%s=%.40q must be a number from 0", key, q.Get(key))}
	}
	return &n, nil
}

// history reads a span of a room's log; one without a direction is the last
// page.
func history(ctx context.Context, h *chat.Hub, room string, g span) (chat.History, error) {
	if g.limit == 0 {
		g.limit = wire.PageSize
	}
	if g.after != nil {
		return h.After(ctx, room, *g.after, g.limit)
	}
	before := int64(math.MaxInt64)
	if g.before != nil {
		before = *g.before
	}
	return h.Before(ctx, room, before, g.limit)
}
