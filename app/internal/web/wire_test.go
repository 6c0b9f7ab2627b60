package web

import (
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func TestTwoPeopleTalk(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.meet(h.guest("Ann"), `{"t":"hello","v":1,"rooms":{"lobby":0}}`)
	bob := h.meet(h.guest("Bob"), `{"t":"hello","v":1,"rooms":{"lobby":0}}`)
	seek[*wire.Live](bob)

	ann.say(`{"t":"post","room":"lobby","nonce":"n1","text":"hello, Bob"}`)
	if ack := seek[*wire.Ack](ann); ack.Seq != 1 || ack.Nonce != "n1" || ack.TS == 0 {
		t.Errorf("got %+v, want an ack of n1 at 1", ack)
	}
	ev := seek[*wire.Event](bob)
	if ev.Seq != 1 || ev.Text != "hello, Bob" || ev.User.Name != "Ann" || ev.Nonce != "n1" || ev.Kind != wire.EventPost {
		t.Errorf("got %+v, want Ann's post", ev)
	}
}
