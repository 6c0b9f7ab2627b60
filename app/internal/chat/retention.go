package chat

import (
	"context"
	"time"
)

// Limits are what a room keeps. The zero value is everything, for ever.
type Limits struct {
	Age   time.Duration // events that are older are voided; 0: none are
	Posts int           // of the posts only so many are kept, the last ones; 0: all are
}

// How limits are applied: in parts, so that nobody who posts waits for long.
const (
	expireEvery = 10 * time.Minute
	expireBatch = 500 // events in one call of the store
	expirePause = 20 * time.Millisecond
)

// expire applies the limits again and again, until ctx ends.
func (h *Hub) expire(ctx context.Context) {
	if h.o.Limits == (Limits{}) {
		return
	}
	for every := time.NewTicker(h.o.ExpireEvery); ; {
		select {
		case <-every.C:
			if h.held.Load() {
				continue // another process does
			}
			if err := h.expireAll(ctx); err != nil && ctx.Err() == nil {
				h.o.Log.Warn("room limits not applied", "err", err)
			}
		case <-ctx.Done():
			every.Stop()
			return
		}
	}
}

func (h *Hub) expireAll(ctx context.Context) error {
	rooms, err := h.store.Rooms(ctx)
	if err != nil {
		return err
	}
	for _, r := range rooms {
		if err := h.expireRoom(ctx, r.Room); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hub) expireRoom(ctx context.Context, name string) error {
	var before time.Time
	if h.o.Limits.Age > 0 {
		before = time.Now().Add(-h.o.Limits.Age)
	}
	all := 0
	for {
		n, last, err := h.store.Expire(ctx, name, before, h.o.Limits.Posts, expireBatch)
		if err != nil {
			return err
		}
		if r, ok := h.known(name); ok && n > 0 {
			r.voided(last)
		}
		if all += n; n < expireBatch {
			break
		}
		select {
		case <-time.After(expirePause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if all > 0 {
		h.o.Log.Info("room limits applied", "room", name, "voided", all)
	}
	return nil
}

// voided takes note that the store has erased everything up to seq.
func (r *room) voided(seq int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tail.Load(); t != nil {
		r.tail.Store(t.forget(seq))
	}
}
