package swap

import "fmt"

// Stage is how far a swap is, as the supervisor sees it.
type Stage uint8

// Stages of a swap.
const (
	StageAdopting   Stage = iota // the new worker takes descriptors; the old one serves
	StageFreezing                // the old one was told to freeze
	StageLoading                 // the new one was given the state
	StageGoing                   // it was told to go: only the word decides
	StageOrphaned                // no old one lives; the new one takes what is left of the descriptors
	StageRecovering              // it was told to recover: only its life decides
	StageDone                    // the new one serves
	StageFailed                  // it does not; the old one serves, if it lives
	StageFallen                  // the new one served, and died before it could say so
)

// Stages lists every stage.
var Stages = []Stage{
	StageAdopting, StageFreezing, StageLoading, StageGoing, StageOrphaned, StageRecovering, StageDone, StageFailed, StageFallen,
}

func (s Stage) String() string {
	names := []string{"adopting", "freezing", "loading", "going", "orphaned", "recovering", "done", "failed", "fallen"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("Stage(%d)", uint8(s))
}

// Over reports whether nothing follows any more.
func (s Stage) Over() bool { return s == StageDone || s == StageFailed || s == StageFallen }

// Revocable reports whether the supervisor may still call the swap off.
func (s Stage) Revocable() bool {
	return s == StageAdopting || s == StageFreezing || s == StageLoading || s == StageOrphaned
}

// News is something that the supervisor learns.
type News uint8

// News of a swap.
const (
	NewsBuilt     News = iota // the new worker holds everything there is by now
	NewsFrozen                // the old one stands still; its state is here
	NewsLoaded                // the new one has taken the state
	NewsRefused               // one of them did not do what it was told
	NewsLive                  // the new one serves
	NewsOldDied               // all of it, and all that it said was heard
	NewsNewDied               // the same; the word does not name it
	NewsNewFell               // the same; the word names it
	NewsOverdue               // too long
	NewsOldHangs              // the same, and the old one does not answer pings
	NewsCancelled             // nobody wants the swap any more
)

// AllNews lists all news.
var AllNews = []News{
	NewsBuilt, NewsFrozen, NewsLoaded, NewsRefused, NewsLive, NewsOldDied, NewsNewDied, NewsNewFell, NewsOverdue, NewsOldHangs, NewsCancelled,
}

func (n News) String() string {
	names := []string{"built", "frozen", "loaded", "refused", "live", "old died", "new died", "new fell", "overdue", "old hangs", "cancelled"}
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf("News(%d)", uint8(n))
}

// Order is what the supervisor has to do.
type Order uint8

// Orders, done in the order given.
const (
	SayFreeze  Order = iota // to the old one
	SayLoad                 // to the new one, after what the old one has kept meanwhile
	SayGo                   // to the new one, naming the word
	AdoptRest               // give the new one what it does not hold yet, to hear that it is built
	SayRecover              // to the new one, naming the word
	SayResume               // to the old one
	SayRelease              // to the old one
	KillNew
	KillOld
)

// Follow is what follows in stage s from n: the picture in doc.go. A pair that
// is not named changes nothing.
func Follow(s Stage, n News) (Stage, []Order) {
	switch s {
	case StageAdopting:
		return whenAdopting(n)
	case StageFreezing:
		return whenFreezing(n)
	case StageLoading:
		return whenLoading(n)
	case StageGoing:
		return whenGoing(n)
	case StageOrphaned:
		return whenOrphaned(n)
	case StageRecovering:
		return whenRecovering(n)
	default:
		return s, nil
	}
}

func whenAdopting(n News) (Stage, []Order) {
	switch n {
	case NewsBuilt:
		return StageFreezing, []Order{SayFreeze}
	case NewsOldDied:
		return StageOrphaned, []Order{AdoptRest}
	case NewsRefused, NewsNewDied, NewsNewFell, NewsOverdue, NewsOldHangs, NewsCancelled:
		return StageFailed, []Order{KillNew}
	default:
		return StageAdopting, nil
	}
}

func whenFreezing(n News) (Stage, []Order) {
	switch n {
	case NewsFrozen:
		return StageLoading, []Order{SayLoad}
	case NewsOldDied:
		return StageOrphaned, []Order{AdoptRest}
	case NewsOldHangs:
		return StageFreezing, []Order{KillOld} // its death leads on
	case NewsRefused, NewsNewDied, NewsNewFell, NewsOverdue, NewsCancelled:
		return StageFailed, []Order{SayResume, KillNew}
	default:
		return StageFreezing, nil
	}
}

// whenLoading: the death of the old one does not matter any more.
func whenLoading(n News) (Stage, []Order) {
	switch n {
	case NewsLoaded:
		return StageGoing, []Order{SayGo}
	case NewsRefused, NewsNewDied, NewsNewFell, NewsOverdue, NewsOldHangs, NewsCancelled:
		return StageFailed, []Order{SayResume, KillNew}
	default:
		return StageLoading, nil
	}
}

func whenGoing(n News) (Stage, []Order) {
	switch n {
	case NewsLive:
		return StageDone, []Order{SayRelease}
	case NewsRefused:
		return StageFailed, []Order{KillNew} // the old one has taken them back
	case NewsNewDied:
		return StageFailed, []Order{SayResume}
	case NewsNewFell:
		return StageFallen, []Order{SayRelease}
	case NewsOverdue, NewsOldHangs:
		return StageGoing, []Order{KillNew} // its death leads on
	default:
		return StageGoing, nil
	}
}

func whenOrphaned(n News) (Stage, []Order) {
	switch n {
	case NewsBuilt:
		return StageRecovering, []Order{SayRecover}
	case NewsRefused, NewsNewDied, NewsNewFell, NewsOverdue, NewsOldHangs, NewsCancelled:
		return StageFailed, []Order{KillNew}
	default:
		return StageOrphaned, nil
	}
}

func whenRecovering(n News) (Stage, []Order) {
	switch n {
	case NewsLive:
		return StageDone, nil
	case NewsRefused:
		return StageFailed, []Order{KillNew}
	case NewsNewDied, NewsNewFell:
		return StageFailed, nil
	case NewsOverdue, NewsOldHangs:
		return StageRecovering, []Order{KillNew}
	default:
		return StageRecovering, nil
	}
}
