package mongo

import "context"

// tail is where a room's log ends, as a majority has it.
type tail struct{ seq, at int64 } // at: Unix milliseconds

// maxTails is how many rooms' tails are remembered.
const maxTails = 4096

// tails are those that the appends of this process have seen last. They may be
// behind what is stored, never ahead of it. They belong to whoever has the
// store's turn.
type tails struct{ of map[string]tail }

func newTails() *tails { return &tails{map[string]tail{}} }

func (t *tails) set(room string, last tail) {
	if len(t.of) >= maxTails {
		t.clear()
	}
	t.of[room] = last
}

func (t *tails) drop(room string) { delete(t.of, room) }

func (t *tails) clear() { clear(t.of) }

// knownTail returns the remembered tail of a room, else the one it reads.
func (s *Store) knownTail(ctx context.Context, room string) (tail, error) {
	if t, ok := s.tails.of[room]; ok {
		return t, nil
	}
	t, err := s.tail(ctx, room)
	if err == nil {
		s.tails.set(room, t)
	}
	return t, err
}
