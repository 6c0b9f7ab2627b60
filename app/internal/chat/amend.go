package chat

import (
	"context"
	"errors"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Amend stores an edit, del or react about a post of an open room. An error is
// a *[wire.Error]: it is refused for good. What became of it otherwise tells
// [Pending.Wait]. It reads the store.
func (m *Member) Amend(d Draft) (*Pending, error) {
	if err := m.mustBeIn(d.Room); err != nil {
		return nil, err
	}
	d.User = m.user
	return m.hub.amend(d)
}

// amend refuses what would change nothing. That is a courtesy: two who amend a
// post at the same moment may both pass, and folding decides.
func (h *Hub) amend(d Draft) (*Pending, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	post, changes, err := h.subject(ctx, d.Room, d.Of)
	if err != nil {
		return refused(err), nil
	}
	no := judge(d, post, changes, h.o.Admin)
	if no == nil {
		return h.writer.post(d), nil
	}
	first, err := h.store.Stored(ctx, d.Room, d.User.ID, d.Nonce)
	switch {
	case err == nil: // it is stored already, and what it did may be the reason
		return answered(Appended{Event: first, Duplicate: true}), nil
	case errors.Is(err, ErrNotFound):
		return nil, no
	default:
		return refused(err), nil
	}
}

// subject returns the post that is to be amended, nil if there is none, and how
// often it was.
func (h *Hub) subject(ctx context.Context, room string, seq int64) (*Post, int, error) {
	events, err := h.store.After(ctx, room, seq-1, 1)
	if err != nil {
		return nil, 0, err
	}
	if len(events) == 0 || events[0].Seq != seq || events[0].Kind != wire.EventPost {
		return nil, 0, nil
	}
	about, err := h.store.About(ctx, room, []int64{seq})
	if err != nil {
		return nil, 0, err
	}
	return &Fold(events, about)[0], len(about), nil
}

// judge tells why a draft about a post is refused, nil if it is not. admin
// tells who may delete what others have said; nil: nobody.
func judge(d Draft, post *Post, changes int, admin func(user string) bool) error {
	own := post != nil && post.User.ID == d.User.ID
	switch {
	case post == nil:
		return &wire.Error{Code: wire.CodeGone, Msg: "there is no such message"}
	case d.Kind == wire.EventEdit && !own:
		return &wire.Error{Code: wire.CodeForbidden, Msg: "only its author can change a message"}
	case d.Kind == wire.EventDel && !own && (admin == nil || !admin(d.User.ID)):
		return &wire.Error{Code: wire.CodeForbidden, Msg: "only its author or an admin can delete a message"}
	case post.Deleted:
		return &wire.Error{Code: wire.CodeGone, Msg: "the message is deleted"}
	case d.Kind != wire.EventDel && changes >= wire.MaxAmendments:
		return &wire.Error{Code: wire.CodeTooMany, Msg: "the message was changed too often, it takes no more"}
	}
	return nil
}
