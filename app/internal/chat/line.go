package chat

import (
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Wire returns the event as clients see it.
func (e *Event) Wire() wire.Event {
	w := wire.Event{
		T:     wire.KindEvent,
		Room:  e.Room,
		Seq:   e.Seq,
		TS:    e.At.UnixMilli(),
		Kind:  e.Kind,
		User:  e.User.Wire(),
		Nonce: e.Nonce,
		Text:  e.Text,
		Of:    e.Of,
		Emoji: e.Emoji,
	}
	if e.Kind == wire.EventReact {
		w.On = &e.On
	}
	return w
}

// Wire returns the user as clients see them.
func (u User) Wire() wire.User { return wire.User{ID: u.ID, Name: u.Name} }

// appendEvent appends the event's ev line.
func appendEvent(b []byte, e *Event) []byte {
	w := e.Wire()
	return wire.AppendLine(b, &w)
}
