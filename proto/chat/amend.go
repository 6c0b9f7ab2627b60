package chat

// Request is what a client wants to be stored: a *[Post], *[Edit], *[Del] or
// *[React]. It is answered by ack or nak with its nonce, which makes repeating
// it harmless for ever, as a post's: all kinds of a room and author share them.
type Request interface {
	// Key returns the room and the nonce.
	Key() (room, nonce string)
}

// Edit gives a post of one's own another text.
type Edit struct {
	T     Kind   `json:"t"`
	Room  string `json:"room"`
	Nonce string `json:"nonce"`
	Of    int64  `json:"of"` // the seq of the post
	Text  string `json:"text"`
}

// Del takes a post back: its texts are erased, a tombstone stays. Only its
// author may, or an admin.
type Del struct {
	T     Kind   `json:"t"`
	Room  string `json:"room"`
	Nonce string `json:"nonce"`
	Of    int64  `json:"of"` // the seq of the post
}

// React puts an emoji to a post, or takes it away again.
type React struct {
	T     Kind   `json:"t"`
	Room  string `json:"room"`
	Nonce string `json:"nonce"`
	Of    int64  `json:"of"` // the seq of the post
	Emoji string `json:"emoji"`
	On    bool   `json:"on"` // false: take it away
}

// Key implements [Request].
func (p *Post) Key() (room, nonce string) { return p.Room, p.Nonce }

// Key implements [Request].
func (e *Edit) Key() (room, nonce string) { return e.Room, e.Nonce }

// Key implements [Request].
func (d *Del) Key() (room, nonce string) { return d.Room, d.Nonce }

// Key implements [Request].
func (r *React) Key() (room, nonce string) { return r.Room, r.Nonce }

func (e *Edit) validate() error {
	if err := validAmendment(e, e.Of); err != nil {
		return err
	}
	return ValidText(e.Text)
}

func (d *Del) validate() error { return validAmendment(d, d.Of) }

func (r *React) validate() error {
	if err := validAmendment(r, r.Of); err != nil {
		return err
	}
	return ValidEmoji(r.Emoji)
}

func validRequest(r Request) error {
	room, nonce := r.Key()
	if err := ValidRoom(room); err != nil {
		return err
	}
	return ValidNonce(nonce)
}

func validAmendment(r Request, of int64) error {
	if err := validRequest(r); err != nil {
		return err
	}
	if of < 1 {
		return badField("of %d is out of range, it must be the seq of a post", of)
	}
	return nil
}

// Read says that its user has read a room up to Seq. The server tells it to the
// user's other connections, and keeps it: a marker never goes back.
type Read struct {
	T    Kind   `json:"t"`
	Room string `json:"room"`
	Seq  int64  `json:"seq"`
}

func (r *Read) validate() error {
	if err := ValidRoom(r.Room); err != nil {
		return err
	}
	if r.Seq < 0 {
		return badField("seq %d is out of range, it must be 0 or more", r.Seq)
	}
	return nil
}

// Typing says that its user writes something. A client says it at most every
// [TypingEvery].
type Typing struct {
	T    Kind   `json:"t"`
	Room string `json:"room"`
}

func (t *Typing) validate() error { return ValidRoom(t.Room) }

// Typists tells by name who writes something in a room now, at most
// [MaxTypists] of them, oneself perhaps among them.
type Typists struct {
	T     Kind     `json:"t"` // KindTyping
	Room  string   `json:"room"`
	Users []string `json:"users"`
}

// Reaction is how often an emoji was put to a post.
type Reaction struct {
	N    int  `json:"n"`
	Mine bool `json:"mine,omitempty"` // the reader has done it too
}
