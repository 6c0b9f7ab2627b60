package uitest

import (
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// A room is an address: it is made by naming it, found by others, kept in the
// history of the browser, with a draft, a count of what is unread and a line
// above it, and it can be left.
func TestRooms(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url(), desktop).signIn()
	at := func(who *tab, path string) {
		t.Helper()
		who.until(`location.pathname === ` + quote(path))
		who.live()
	}
	at(ada, "/r/lobby")
	ada.do("name a room", sendKeys("#rooms .find input", "Coffee Corner!"))
	ada.until(`document.querySelector('#rooms .create:not([hidden]) b').textContent === '#coffee-corner'`)
	ada.keys("\r")
	at(ada, "/r/coffee-corner")
	ada.say("who is for espresso?")
	ada.sees("who is for espresso?")

	grace := b.visit("Grace", site.url()+"/r/lobby", desktop).signIn()
	grace.do("browse", chromedp.Click("#rooms .find input"))
	grace.until(`document.querySelector('#rooms .others [data-room="coffee-corner"] .members')?.textContent === '1 here'`)
	grace.click(`#rooms .others [data-room="coffee-corner"]`)
	at(grace, "/r/coffee-corner")
	grace.sees("who is for espresso?")
	ada.until(`document.querySelector('#people .summary').textContent === '2 here'`)
	if got, want := eval[[]string](ada, `[...document.querySelectorAll('#people .name')].map(e => e.textContent)`), []string{"Ada", "Grace"}; !slices.Equal(got, want) {
		t.Errorf("%q are here, want %q", got, want)
	}

	const draft = `document.querySelector('#composer textarea').value`
	ada.keysIn("half a cup")
	ada.click(`#rooms [data-room="lobby"]`)
	at(ada, "/r/lobby")
	ada.until(draft + ` === ''`)
	ada.keysIn("in the lobby")
	grace.say("me")
	grace.say("and one for Linus")
	ada.until(`document.querySelector('#rooms [data-room="coffee-corner"] .badge').textContent === '2'`)
	ada.until(`document.title === '(2) #lobby · SimpleTalk'`)
	eval[any](ada, `history.back()`)
	at(ada, "/r/coffee-corner")
	ada.until(draft + ` === 'half a cup'`)
	ada.sees("and one for Linus")
	if got := eval[string](ada, `document.querySelector('.divider').nextElementSibling.querySelector('.text').textContent`); got != "me" {
		t.Errorf("the line is above %q, want it above the first that is new", got)
	}
	ada.until(`document.title === '#coffee-corner · SimpleTalk' && document.querySelector('#rooms [data-room="coffee-corner"] .badge').hidden`)
	eval[any](ada, `history.forward()`)
	at(ada, "/r/lobby")
	ada.until(draft + ` === 'in the lobby'`)

	grace.click("#people .leave")
	at(grace, "/r/lobby")
	grace.until(`!document.querySelector('#rooms .own [data-room="coffee-corner"]')`)
	if got := eval[int](ada, `[...document.querySelectorAll('time')].filter(e => Number.isNaN(Date.parse(e.getAttribute('datetime')))).length`); got != 0 {
		t.Errorf("%d times cannot be read by a machine", got)
	}
	ada.healthy()
	grace.healthy()
}
