package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// meta is what the next process must know of a connection if this one dies:
// who it is, and what to show the others until it says hello again. Another
// build may read it, so fields are added and never change their meaning.
type meta struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Session []byte   `json:"session"`          // the hash of its token
	Client  string   `json:"client,omitempty"` // whom it counts for
	Admin   bool     `json:"admin,omitempty"`
	Greeted bool     `json:"greeted,omitempty"`
	Rooms   []string `json:"rooms,omitempty"` // that are open
}

// encode returns the meta as it travels.
func (m *meta) encode() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("web: a meta that cannot be encoded: " + err.Error()) // only strings and bytes
	}
	return b
}

// parseMeta reads what encode wrote, in this build or another one.
func parseMeta(b []byte) (meta, error) {
	var m meta
	if err := json.Unmarshal(b, &m); err != nil {
		return meta{}, fmt.Errorf("meta of a connection: %w", err)
	}
	if m.ID == "" || len(m.Session) != len(chat.Session{}.TokenHash) {
		return meta{}, errors.New("meta of a connection: it does not say whose it is")
	}
	if len(m.Rooms) > wire.MaxRooms {
		return meta{}, fmt.Errorf("meta of a connection: %d rooms, at most %d can be open", len(m.Rooms), wire.MaxRooms)
	}
	for _, room := range m.Rooms {
		if err := wire.ValidRoom(room); err != nil {
			return meta{}, fmt.Errorf("meta of a connection: %w", err)
		}
	}
	return m, nil
}

// owner returns whose connection it is.
func (m *meta) owner() chat.Session {
	return chat.Session{TokenHash: [32]byte(m.Session), User: chat.User{ID: m.ID, Name: m.Name}}
}

// meta describes the connection as it is.
func (c *conn) meta() *meta {
	m := &meta{ID: c.user.ID, Name: c.user.Name, Session: c.session[:], Client: c.client.String(), Admin: c.admin}
	if c.member != nil {
		m.Greeted, m.Rooms = true, c.member.Rooms()
	}
	return m
}

// isNews reports whether the connection is not as m says any more.
func (c *conn) isNews(m *meta) bool {
	if c.member == nil {
		return m.Greeted
	}
	return !m.Greeted || !slices.Equal(m.Rooms, c.member.Rooms())
}
