package chat

import (
	"encoding/json"
	"time"
)

// Bus carries messages between hubs on the same store, in other processes. It
// may lose, repeat and reorder them: a hub repairs that from the store, and
// repeats who is there.
type Bus interface {
	// Publish hands data, at most [MaxBusMessage] bytes, to every other hub's
	// Deliver. It never blocks, and must not call back into the hub.
	Publish(data []byte)
}

// MaxBusMessage is the size of the largest message a hub publishes, in bytes.
const MaxBusMessage = 48 << 10

// Rhythm of what hubs tell each other while there are peers.
const (
	hereEvery  = 2 * time.Second // everybody here, again
	headsEvery = time.Second     // the heads of rooms with members are read again, at the latest
)

// hereUsers is how many users one message names: 64 code points of at most 6
// bytes each in JSON, the id, and a room for each stay below MaxBusMessage. A
// name in a [Ledger] is shorter.
const hereUsers = 100

// telling is a message between hubs. A field that is not there is not meant.
type telling struct {
	Heads map[string]int64 `json:"heads,omitempty"` // doorbells: these rooms reach so far
	Here  map[string][]who `json:"here,omitempty"`  // these users are in these rooms now

	Typing map[string][]who `json:"typing,omitempty"` // these users type in these rooms now
	Read   []readTold       `json:"read,omitempty"`   // these users have read so far

	Spent Spendings `json:"spent,omitempty"` // was used of allowances
}

// Spendings is how much was used of each allowance, by whom.
type Spendings map[string]map[string]int

// Ledger keeps allowances that are the same for all hubs on a store, such as how
// many lines a user may post in a second. Its methods may be called concurrently,
// must be quick, and must not call back into the hub.
type Ledger interface {
	// Spent returns what was used here since it returned that before, of at most
	// max users; nothing when nothing was.
	Spent(max int) Spendings
	// Charge takes what was used at another hub.
	Charge(Spendings)
}

// unlimited is the Ledger of a hub that has none.
type unlimited struct{}

func (unlimited) Spent(int) Spendings { return nil }
func (unlimited) Charge(Spendings)    {}

type who struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// readTold is a [Read] as it travels.
type readTold struct {
	User string `json:"u"`
	Room string `json:"r"`
	Seq  int64  `json:"s"`
}

func (t *telling) encode() []byte {
	b, err := json.Marshal(t)
	if err != nil {
		panic("chat: a telling that cannot be encoded: " + err.Error()) // only strings and numbers
	}
	return b
}

// hereTellings packs who is in which room into as few messages as hold them.
func hereTellings(rooms map[string][]User) []telling {
	var all []telling
	filled := hereUsers // users in the last message; there is none that takes more yet
	for name, users := range rooms {
		for len(users) > 0 {
			if filled == hereUsers {
				all, filled = append(all, telling{Here: map[string][]who{}}), 0
			}
			n := min(len(users), hereUsers-filled)
			last := all[len(all)-1].Here
			for _, u := range users[:n] {
				last[name] = append(last[name], who(u))
			}
			users, filled = users[n:], filled+n
		}
	}
	return all
}
