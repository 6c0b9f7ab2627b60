package web

import (
	"reflect"
	"slices"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// said is what is left of a post after all that was done to it.
type said struct {
	author, text string
	deleted      bool
	reactions    map[reaction]bool
}

type reaction struct{ emoji, user string }

// view is what follows from a log, or from the end of one, by the rules of the
// wire and none of the server's code.
func view(log []chat.Event) map[int64]said {
	all := map[int64]said{}
	for _, e := range log {
		p, there := all[e.Of]
		switch {
		case e.Kind == wire.EventPost:
			all[e.Seq] = said{author: e.User.ID, text: e.Text, reactions: map[reaction]bool{}}
			continue
		case !there || p.deleted:
			continue
		case e.Kind == wire.EventDel:
			p = said{author: p.author, deleted: true, reactions: map[reaction]bool{}}
		case e.Kind == wire.EventEdit && e.User.ID == p.author:
			p.text = e.Text
		case e.Kind == wire.EventReact && e.On:
			p.reactions[reaction{e.Emoji, e.User.ID}] = true
		case e.Kind == wire.EventReact:
			delete(p.reactions, reaction{e.Emoji, e.User.ID})
		}
		all[e.Of] = p
	}
	return all
}

// saidOf is a post of the server's.
func saidOf(p *chat.Post) said {
	s := said{author: p.User.ID, text: p.Text, deleted: p.Deleted, reactions: map[reaction]bool{}}
	for emoji, users := range p.Reactions {
		for _, u := range users {
			s.reactions[reaction{emoji, u}] = true
		}
	}
	return s
}

func compare(t *testing.T, who string, got, want map[int64]said) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s holds %d posts, want %d", who, len(got), len(want))
	}
	for seq := range want {
		if !reflect.DeepEqual(got[seq], want[seq]) {
			t.Errorf("%s holds of %d %+v, want %+v", who, seq, got[seq], want[seq])
		}
	}
}

// check compares what a client holds, and what became of its requests, with the
// log.
func (p *someone) check(log []chat.Event) {
	if len(p.log) != len(log)-int(p.base) {
		p.t.Errorf("%s holds %d events after %d of %d", p.name, len(p.log), p.base, len(log))
	}
	compare(p.t, p.name, view(p.log), view(log[min(int(p.base), len(log)):]))
	author := map[int64]string{}
	deleted := map[int64]int64{} // the first del of each post
	stored := map[string]chat.Event{}
	for _, e := range log {
		switch {
		case e.Kind == wire.EventPost:
			author[e.Seq] = e.User.ID
		case e.Kind == wire.EventDel && deleted[e.Of] == 0:
			deleted[e.Of] = e.Seq
		}
		if e.User.ID == p.user {
			stored[e.Nonce] = e
		}
	}
	for nonce, r := range p.made {
		e, is := stored[nonce]
		switch seq, ok := p.acked[nonce]; {
		case ok && (!is || e.Seq != seq):
			p.t.Errorf("%s: %T %s was acknowledged at %d, stored is %+v", p.name, r, nonce, seq, e)
		case !ok && is && p.naked[nonce] == wire.CodeGone && 0 < deleted[e.Of] && deleted[e.Of] < e.Seq:
			// said twice, and refused while it was on its way: it changes nothing
		case !ok && is:
			p.t.Errorf("%s: %T %s was refused as %s, and is stored at %d", p.name, r, nonce, p.naked[nonce], e.Seq)
		case is && slices.Contains([]wire.EventKind{wire.EventEdit, wire.EventDel}, e.Kind) && author[e.Of] != p.user:
			p.t.Errorf("%s: %T %s of somebody else's post is stored", p.name, r, nonce)
		}
	}
}
