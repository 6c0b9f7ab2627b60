package chat

import (
	"sync"
	"time"
)

// strangers are the users of other hubs, in whichever rooms they are: their names
// are taken here too. Its methods may be called concurrently.
type strangers struct {
	key   func(name string) string
	grace time.Duration // how long somebody who is not told of any more is not missed

	mu    sync.Mutex
	met   map[who]stranger
	swept time.Time // when those who are gone were forgotten last
}

type stranger struct {
	folded string // the key of the name, which is costly to find
	told   time.Time
}

func newStrangers(key func(string) string, grace time.Duration) *strangers {
	return &strangers{key: key, grace: grace, met: map[who]stranger{}}
}

// meet takes who is at another hub at now.
func (s *strangers) meet(users []who, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range users {
		known, ok := s.met[u]
		if !ok {
			known.folded = s.key(u.Name)
		}
		known.told = now
		s.met[u] = known
	}
	if now.Sub(s.swept) < s.grace {
		return
	}
	s.swept = now
	for u, known := range s.met {
		if now.Sub(known.told) >= s.grace {
			delete(s.met, u)
		}
	}
}

// named reports whether somebody other than a user is at another hub under a name
// with that key.
func (s *strangers) named(folded, userID string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for u, known := range s.met {
		if u.ID != userID && known.folded == folded && now.Sub(known.told) < s.grace {
			return true
		}
	}
	return false
}
