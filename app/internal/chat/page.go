package chat

import (
	"context"
	"fmt"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Page is a part of what was said in a room, as it is now.
type Page struct {
	Posts     []Post // ascending; of a search the newest first
	More      bool   // there are further ones in the direction asked for; around a post: before it
	MoreAfter bool   // around a post: after it
}

// PostsBefore returns the up to limit posts just before seq.
func (h *Hub) PostsBefore(ctx context.Context, room string, seq int64, limit int) (Page, error) {
	posts, err := h.store.PostsBefore(ctx, room, seq, limit+1)
	if err != nil {
		return Page{}, fmt.Errorf("read room %s: %w", room, err)
	}
	return h.page(ctx, room, Page{More: len(posts) > limit}, posts[max(0, len(posts)-limit):])
}

// PostsAfter returns up to limit posts after seq.
func (h *Hub) PostsAfter(ctx context.Context, room string, seq int64, limit int) (Page, error) {
	posts, err := h.store.PostsAfter(ctx, room, seq, limit+1)
	if err != nil {
		return Page{}, fmt.Errorf("read room %s: %w", room, err)
	}
	return h.page(ctx, room, Page{More: len(posts) > limit}, posts[:min(len(posts), limit)])
}

// PostsAround returns up to limit posts, about as many up to seq as after it.
func (h *Hub) PostsAround(ctx context.Context, room string, seq int64, limit int) (Page, error) {
	older := limit/2 + 1
	newer := max(limit-older, 0)
	before, err := h.store.PostsBefore(ctx, room, seq+1, older+1)
	if err != nil {
		return Page{}, fmt.Errorf("read room %s: %w", room, err)
	}
	after, err := h.store.PostsAfter(ctx, room, seq, newer+1)
	if err != nil {
		return Page{}, fmt.Errorf("read room %s: %w", room, err)
	}
	p := Page{More: len(before) > older, MoreAfter: len(after) > newer}
	posts := append(before[max(0, len(before)-older):len(before):len(before)], after[:min(len(after), newer)]...)
	return h.page(ctx, room, p, posts)
}

// Search returns the up to limit posts before seq that hold words beginning with
// those that somebody typed, the newest first.
func (h *Hub) Search(ctx context.Context, room, typed string, before int64, limit int) (Page, error) {
	posts, err := h.store.Search(ctx, room, Query(typed), before, limit+1)
	if err != nil {
		return Page{}, fmt.Errorf("search room %s: %w", room, err)
	}
	return h.page(ctx, room, Page{More: len(posts) > limit}, posts[:min(len(posts), limit)])
}

// page folds into posts what is about them.
func (h *Hub) page(ctx context.Context, room string, p Page, posts []Event) (Page, error) {
	if len(posts) == 0 {
		return p, nil
	}
	seqs := make([]int64, len(posts))
	for i, e := range posts {
		seqs[i] = e.Seq
	}
	about, err := h.store.About(ctx, room, seqs)
	if err != nil {
		return Page{}, fmt.Errorf("read room %s: %w", room, err)
	}
	p.Posts = Fold(posts, about)
	return p, nil
}

// Wire returns the posts as a reader sees them, never nil.
func (p Page) Wire(reader string) []wire.Event {
	all := make([]wire.Event, 0, len(p.Posts))
	for i := range p.Posts {
		all = append(all, p.Posts[i].Wire(reader))
	}
	return all
}
