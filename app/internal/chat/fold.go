package chat

import (
	"maps"
	"slices"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Post is a message as it is now: what was said, with everything later about it
// folded in.
type Post struct {
	Event                         // the post itself, with its latest text
	Rev       int64               // the last event folded in, its own seq if there is none
	Edited    time.Time           // when the text was last changed; zero: never
	Deleted   bool                // then it has no text and no reactions
	Reactions map[string][]string // emoji to the ids of who has put it there, in their order
}

// Fold returns posts as they are after the events about them. Both ascend by
// seq; what is about none of the posts changes nothing.
//
// It needs no judgement (invariant 9 of the wire): whoever appends at the same
// moment as another, in whatever process, everybody folds to the same.
func Fold(posts, about []Event) []Post {
	folded := make([]Post, len(posts))
	at := make(map[int64]int, len(posts))
	for i, e := range posts {
		folded[i] = Post{Event: e, Rev: e.Seq}
		at[e.Seq] = i
	}
	for i := range about {
		if k, ok := at[about[i].Of]; ok {
			folded[k].fold(&about[i])
		}
	}
	return folded
}

// fold takes one more event about the post.
func (p *Post) fold(e *Event) {
	if e.Seq <= p.Rev {
		return
	}
	p.Rev = e.Seq
	switch {
	case p.Deleted:
	case e.Kind == wire.EventDel:
		p.Text, p.Edited, p.Deleted, p.Reactions = "", time.Time{}, true, nil
	case e.Kind == wire.EventEdit && e.User.ID == p.User.ID:
		p.Text, p.Edited = e.Text, e.At
	case e.Kind == wire.EventReact:
		p.react(e)
	}
}

func (p *Post) react(e *Event) {
	users := slices.DeleteFunc(p.Reactions[e.Emoji], func(id string) bool { return id == e.User.ID })
	if e.On {
		users = append(users, e.User.ID)
	}
	if len(users) == 0 {
		delete(p.Reactions, e.Emoji)
		return
	}
	if p.Reactions == nil {
		p.Reactions = map[string][]string{}
	}
	p.Reactions[e.Emoji] = users
}

// Wire returns the post as a reader sees it.
func (p *Post) Wire(reader string) wire.Event {
	w := p.Event.Wire()
	w.Rev, w.Deleted = p.Rev, p.Deleted
	if !p.Edited.IsZero() {
		w.Edited = p.Edited.UnixMilli()
	}
	if len(p.Reactions) > 0 {
		w.Reactions = make(map[string]wire.Reaction, len(p.Reactions))
	}
	for emoji, users := range maps.All(p.Reactions) {
		w.Reactions[emoji] = wire.Reaction{N: len(users), Mine: slices.Contains(users, reader)}
	}
	return w
}
