package archive

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Versions of the format that this build reads; it writes the last. A later one
// that an older build could misread counts it up; further fields are ignored.
const (
	versionPosts = 1 // every event says all of itself
	version      = 2 // events are about others
)

// Kinds of a line.
const (
	kindLog     = "log"
	kindEvent   = "event"
	kindSession = "session"
	kindAccount = "account"
	kindEnd     = "end"
)

type logLine struct {
	T       string `json:"t"`
	Version int    `json:"version"`
	Epoch   string `json:"epoch"`
	Rooms   int64  `json:"rooms"`
	Events  int64  `json:"events"`
}

type eventLine struct {
	T      string `json:"t"`
	Room   string `json:"room"`
	Seq    int64  `json:"seq"`
	At     int64  `json:"at"` // Unix milliseconds
	Kind   string `json:"kind"`
	Author string `json:"author"`
	Name   string `json:"name"`
	Nonce  string `json:"nonce"`
	Text   string `json:"text"`
	Of     int64  `json:"of,omitempty"`
	Emoji  string `json:"emoji,omitempty"`
	On     bool   `json:"on,omitempty"`
}

type sessionLine struct {
	T         string `json:"t"`
	Hash      string `json:"hash"`
	User      string `json:"user"`
	Name      string `json:"name"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt int64  `json:"expires_at"`
	SeenAt    int64  `json:"seen_at,omitempty"` // 0 for never
	Agent     string `json:"agent,omitempty"`
	Retired   bool   `json:"retired,omitempty"`
}

// accountLine is what is kept of a user. Times are Unix milliseconds, 0 for never.
type accountLine struct {
	T         string `json:"t"`
	User      string `json:"user"`
	Name      string `json:"name,omitempty"`
	Key       string `json:"key,omitempty"`
	Password  string `json:"password,omitempty"` // a hash
	Admin     bool   `json:"admin,omitempty"`
	CreatedAt int64  `json:"created_at,omitempty"`
	BannedAt  int64  `json:"banned_at,omitempty"`
	DeletedAt int64  `json:"deleted_at,omitempty"`
}

type endLine struct {
	T string `json:"t"`
	Counts
	SHA256 string `json:"sha256"`
}

// Counts is what a stream holds.
type Counts struct {
	Rooms    int64 `json:"rooms"`
	Events   int64 `json:"events"`
	Sessions int64 `json:"sessions"`
	Accounts int64 `json:"accounts,omitempty"` // not in exports of older builds
}

// String is for people.
func (c Counts) String() string {
	told := fmt.Sprintf("%d rooms, %d events, %d sessions", c.Rooms, c.Events, c.Sessions)
	if c.Accounts > 0 {
		told += fmt.Sprintf(", %d accounts", c.Accounts)
	}
	return told
}

// lineOf refuses what JSON cannot hold as it is.
func lineOf(e chat.Event) (eventLine, error) {
	for _, s := range []string{e.Room, e.User.ID, e.User.Name, e.Nonce, e.Text, e.Emoji} {
		if !utf8.ValidString(s) {
			return eventLine{}, fmt.Errorf("event %d of room %s is not valid UTF-8", e.Seq, e.Room)
		}
	}
	return eventLine{
		T: kindEvent, Room: e.Room, Seq: e.Seq, At: e.At.UnixMilli(), Kind: string(e.Kind),
		Author: e.User.ID, Name: e.User.Name, Nonce: e.Nonce, Text: e.Text,
		Of: e.Of, Emoji: e.Emoji, On: e.On,
	}, nil
}

func (l eventLine) event() chat.Event {
	return chat.Event{
		Room: l.Room, Seq: l.Seq, At: chat.Moment(l.At), Kind: wire.EventKind(l.Kind),
		User: chat.User{ID: l.Author, Name: l.Name}, Nonce: l.Nonce, Text: l.Text,
		Of: l.Of, Emoji: l.Emoji, On: l.On,
	}
}

func lineOfSession(s chat.Session) sessionLine {
	return sessionLine{
		T: kindSession, Hash: hex.EncodeToString(s.TokenHash[:]), User: s.User.ID, Name: s.User.Name,
		CreatedAt: s.CreatedAt.UnixMilli(), ExpiresAt: s.ExpiresAt.UnixMilli(),
		SeenAt: chat.Millis(s.SeenAt), Agent: strings.ToValidUTF8(s.Agent, ""), Retired: s.Retired,
	}
}

func (l sessionLine) session() (chat.Session, error) {
	s := chat.Session{
		User:      chat.User{ID: l.User, Name: l.Name},
		CreatedAt: chat.Moment(l.CreatedAt), ExpiresAt: chat.Moment(l.ExpiresAt),
		SeenAt: chat.Moment(l.SeenAt), Agent: l.Agent, Retired: l.Retired,
	}
	hash, err := hex.DecodeString(l.Hash)
	if err != nil || copy(s.TokenHash[:], hash) != len(s.TokenHash) || len(hash) != len(s.TokenHash) {
		return s, errors.New("the hash of a session must be 64 hexadecimal digits")
	}
	return s, nil
}

func lineOfAccount(a chat.Account) accountLine {
	return accountLine{
		T: kindAccount, User: a.User.ID, Name: a.User.Name, Key: a.Key, Password: a.Password, Admin: a.Admin,
		CreatedAt: chat.Millis(a.CreatedAt), BannedAt: chat.Millis(a.BannedAt), DeletedAt: chat.Millis(a.DeletedAt),
	}
}

func (l accountLine) account() chat.Account {
	return chat.Account{
		User: chat.User{ID: l.User, Name: l.Name}, Key: l.Key, Password: l.Password, Admin: l.Admin,
		CreatedAt: chat.Moment(l.CreatedAt), BannedAt: chat.Moment(l.BannedAt), DeletedAt: chat.Moment(l.DeletedAt),
	}
}
