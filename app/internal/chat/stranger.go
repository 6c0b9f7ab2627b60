package chat

import (
	"sync"
	"time"
)

// strangers are the users of other hubs, in whichever rooms they are, also in
// those that nobody here is in: they are counted, and their names are taken. Its
// methods may be called concurrently.
type strangers struct {
	key   func(name string) string
	grace time.Duration // how long somebody who is not told of any more is not missed

	mu    sync.Mutex
	rooms map[string]map[who]stranger
	swept time.Time // when those who are gone were forgotten last
}

type stranger struct {
	folded string // the key of the name, which is costly to find
	told   time.Time
}

func newStrangers(key func(string) string, grace time.Duration) *strangers {
	return &strangers{key: key, grace: grace, rooms: map[string]map[who]stranger{}}
}

// meet takes who is in a room at another hub at now.
func (s *strangers) meet(room string, users []who, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	met := s.rooms[room]
	if met == nil {
		met = map[who]stranger{}
		s.rooms[room] = met
	}
	for _, u := range users {
		known, ok := met[u]
		if !ok {
			known.folded = s.key(u.Name)
		}
		known.told = now
		met[u] = known
	}
	if now.Sub(s.swept) >= s.grace {
		s.sweep(now)
	}
}

// sweep forgets who is gone. mu is held.
func (s *strangers) sweep(now time.Time) {
	s.swept = now
	for room, met := range s.rooms {
		for u, known := range met {
			if !s.here(known, now) {
				delete(met, u)
			}
		}
		if len(met) == 0 {
			delete(s.rooms, room)
		}
	}
}

func (s *strangers) here(known stranger, now time.Time) bool { return now.Sub(known.told) < s.grace }

// named reports whether somebody other than a user is at another hub under a name
// with that key.
func (s *strangers) named(folded, userID string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, met := range s.rooms {
		for u, known := range met {
			if u.ID != userID && known.folded == folded && s.here(known, now) {
				return true
			}
		}
	}
	return false
}

// count returns how many are in each room at now.
func (s *strangers) count(now time.Time) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[string]int{}
	for room, met := range s.rooms {
		for _, known := range met {
			if s.here(known, now) {
				counts[room]++
			}
		}
	}
	return counts
}
