package chat

import "context"

// What happens to a log beside the hub: an administrator's command appends to
// it, an account's deletion gives its events another author.

// Ring says that a room's log may have grown, as a doorbell does. It waits for
// nobody.
func (h *Hub) Ring(name string) {
	r, ok := h.known(name)
	if !ok {
		return
	}
	h.fillers.Go(func() {
		if head, err := readHead(h.store, r.name); err == nil {
			r.rung(head)
		}
	})
}

// Reread forgets the events that are held in memory: who is told of them next is
// told what the store has.
func (h *Hub) Reread() {
	for _, r := range h.all() {
		r.reread()
	}
}

func (r *room) reread() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tail.Load(); t != nil {
		r.tail.Store(emptyTail(t.head))
	}
}

// IsNew reports whether a room that is open has no event yet. Of one that was
// opened a moment ago only the store knows.
func (h *Hub) IsNew(ctx context.Context, name string) (bool, error) {
	r, ok := h.known(name)
	if !ok {
		return false, nil
	}
	if t := r.tail.Load(); t != nil {
		return t.head == 0, nil
	}
	head, err := h.Head(ctx, name)
	return err == nil && head == 0, err
}
