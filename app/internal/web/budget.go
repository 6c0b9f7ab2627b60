package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// allowance is how much somebody may do: burst at once, and then so many a second.
type allowance struct {
	rate  rate.Limit
	burst int
}

// What a user may do over all connections, and an address for all its users.
// Many people may share an address: behind it may be a school.
var (
	userLines    = allowance{bucketRate, bucketBurst}
	addressLines = allowance{200, 1000}

	userRooms    = allowance{1.0 / 30, 10} // posts into rooms that were empty
	addressRooms = allowance{1.0 / 5, 50}

	addressSignIns  = allowance{2, 60}
	addressUpgrades = allowance{20, 300}

	// Passwords that are tried for one name: from one address, and from all
	// together. The second is large, since it keeps out whose name it is as well. It
	// holds for the code of a sign-up, too.
	triesHere = allowance{1.0 / 10, 10}
	tries     = allowance{1, 100}
)

// maxBudgets bounds how many are remembered of each allowance.
const maxBudgets = 1 << 16

// spareBudgets are forgotten together when there are too many: looking for those
// that may be takes a while.
const spareBudgets = maxBudgets / 8

// maxDebt is how many bursts somebody may owe by what other processes tell: as
// many processes as can be used at once, and what a false one can do.
const maxDebt = 16

// budgets is what is left of an allowance, for everybody who has used it of late,
// here or in another process on the same store. Its methods may be called
// concurrently.
type budgets struct {
	allowance

	mu    sync.Mutex
	left  map[string]*rate.Limiter
	spent map[string]int // here, since the others were told
}

func newBudgets(a allowance) *budgets {
	return &budgets{allowance: a, left: map[string]*rate.Limiter{}, spent: map[string]int{}}
}

// take takes one from somebody's budget, or says how long it takes until it can
// be taken. Nobody in particular, "", has all.
func (b *budgets) take(of string) time.Duration {
	if of == "" {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d := takeOne(b.of(of))
	if d == 0 && len(b.spent) < maxBudgets {
		b.spent[of]++
	}
	return d
}

// charge takes what somebody has used in another process, also what is not there
// any more: that has to be waited for. Nobody can use more than a burst between
// two tellings, or little more, so no more is believed.
func (b *budgets) charge(of string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.of(of)
	if l.Tokens() > -maxDebt*float64(b.burst) {
		l.ReserveN(time.Now(), min(max(n, 0), b.burst))
	}
}

// of returns somebody's budget. mu is held.
func (b *budgets) of(of string) *rate.Limiter {
	l := b.left[of]
	if l == nil {
		b.makeRoom()
		l = rate.NewLimiter(b.rate, b.burst)
		b.left[of] = l
	}
	return l
}

// tell returns what at most limit have used here since they were told of.
func (b *budgets) tell(limit int) map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := map[string]int{}
	for of, n := range b.spent {
		if len(told) == limit {
			break
		}
		told[of] = n
		delete(b.spent, of)
	}
	return told
}

// takeOne takes a token, or says when there will be one.
func takeOne(l *rate.Limiter) time.Duration {
	r := l.Reserve()
	d := r.Delay()
	if d > 0 {
		r.Cancel()
	}
	return d
}

// makeRoom forgets anybody when there are too many: whoever has so many addresses
// is not stopped by counting them. mu is held.
func (b *budgets) makeRoom() {
	if len(b.left) < maxBudgets {
		return
	}
	b.forgetFull()
	for of := range b.left {
		if len(b.left) <= maxBudgets-spareBudgets {
			return
		}
		delete(b.left, of)
	}
}

// forget forgets whose budget is whole again.
func (b *budgets) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgetFull()
}

func (b *budgets) forgetFull() {
	for of, l := range b.left {
		if l.Tokens() >= float64(b.burst) {
			delete(b.left, of)
		}
	}
}

// Limits are all budgets. They are the same for every process on one store: each
// is a [chat.Ledger], by which they tell each other what was used. What a process
// has not been told of yet, or cannot be because the others are not reached, it
// does not count. Its methods may be called concurrently.
type Limits struct {
	userLines, addressLines         *budgets
	userRooms, addressRooms         *budgets
	addressSignIns, addressUpgrades *budgets
	triesHere, tries                *budgets
}

var _ chat.Ledger = (*Limits)(nil)

// NewLimits returns limits of which nobody has used anything.
func NewLimits() *Limits {
	return &Limits{
		userLines: newBudgets(userLines), addressLines: newBudgets(addressLines),
		userRooms: newBudgets(userRooms), addressRooms: newBudgets(addressRooms),
		addressSignIns: newBudgets(addressSignIns), addressUpgrades: newBudgets(addressUpgrades),
		triesHere: newBudgets(triesHere), tries: newBudgets(tries),
	}
}

// all returns the budgets under the names that processes have for them.
func (l *Limits) all() map[string]*budgets {
	return map[string]*budgets{
		"user_lines": l.userLines, "address_lines": l.addressLines,
		"user_rooms": l.userRooms, "address_rooms": l.addressRooms,
		"address_sign_ins": l.addressSignIns, "address_upgrades": l.addressUpgrades,
		"tries_here": l.triesHere, "tries": l.tries,
	}
}

// forget forgets whoever has not done anything for a while.
func (l *Limits) forget() {
	for _, b := range l.all() {
		b.forget()
	}
}

// Spent is [chat.Ledger]'s.
func (l *Limits) Spent(limit int) chat.Spendings {
	var all chat.Spendings
	for name, b := range l.all() {
		told := b.tell(limit)
		if len(told) == 0 {
			continue
		}
		if all == nil {
			all = chat.Spendings{}
		}
		all[name] = told
		limit -= len(told)
	}
	return all
}

// Charge is [chat.Ledger]'s. Budgets of another build are not known.
func (l *Limits) Charge(all chat.Spendings) {
	for name, spent := range all {
		b := l.all()[name]
		if b == nil {
			continue
		}
		for of, n := range spent {
			b.charge(of, n)
		}
	}
}

// line takes what a line of a user costs, and returns how long to wait if it
// cannot be paid.
func (l *Limits) line(user string, c client) time.Duration {
	return max(l.userLines.take(user), l.addressLines.take(c.String()))
}

// room takes what a new room costs.
func (l *Limits) room(user string, c client) time.Duration {
	return max(l.userRooms.take(user), l.addressRooms.take(c.String()))
}

// try takes what it costs to try a password for a name. Whatever stands where a
// name should, no more than a hash of it is remembered, and told to others.
func (l *Limits) try(name string, c client) time.Duration {
	key := digest(auth.NameKey(name))
	if c.counts() {
		if d := l.triesHere.take(c.String() + key); d > 0 {
			return d
		}
	}
	return l.tries.take(key)
}

// digest is as good a key as s and does not show it.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// tryCode takes what it costs to try the code of a sign-up.
func (l *Limits) tryCode() time.Duration { return l.tries.take("code") }

// tooFast is the answer to whoever has to wait. It is an *[apiError].
func tooFast(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return &apiError{kind: kindRate, msg: "too many requests, try again in " + seconds(wait), wait: wait}
}

// seconds says how long, for people; whole, and one at least.
func seconds(d time.Duration) string {
	d = d.Round(time.Second)
	if d <= time.Second {
		return "a second"
	}
	return d.String()
}

// isNewLimit is how long the store may take to tell whether a room is new.
const isNewLimit = time.Second

// newRoom takes what the first post into a room costs, or tells by a *[wire.Error]
// why it cannot be. retry is how long to wait. Further posts may follow before the
// first is stored.
func (c *conn) newRoom(room string) (retry time.Duration, err error) {
	if room == c.paid {
		return 0, nil
	}
	if err := c.member.MayRead(room); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), isNewLimit)
	defer cancel()
	isNew, err := c.server.o.Hub.IsNew(ctx, room)
	if err != nil {
		c.server.o.Log.Debug("room not read", "room", room, "err", err)
		return retryUnavailable, &wire.Error{Code: wire.CodeUnavailable, Msg: toAPI(err).msg}
	}
	if isNew {
		if wait := c.server.o.Limits.room(c.user.ID, c.client); wait > 0 {
			return wait, &wire.Error{Code: wire.CodeRate, Msg: "too many new rooms: wait a while"}
		}
	}
	c.paid = room
	return 0, nil
}
