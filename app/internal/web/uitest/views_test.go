package uitest

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Every view and state, at every size and in both lights, has no violation
// that axe can find, and throws nothing.
func TestViews(t *testing.T) {
	for _, v := range []struct {
		name string
		look look
	}{{"desktop", desktop}, {"desktop-dark", desktop.inDark()}, {"phone", phone}, {"phone-dark", phone.inDark()}} {
		t.Run(v.name, func(t *testing.T) {
			site := openSite(t)
			site.fill("design", 300)
			showViews(openBrowser(t), site.start(), v.name, v.look)
		})
	}
}

func showViews(b *browser, site *site, name string, l look) {
	t := b.t
	ada := b.visit("Ada Lovelace", site.url()+"/r/lobby", l)
	check := func(view string) {
		t.Helper()
		ada.shot(name + "-" + view)
		ada.axe(view)
		ada.fits(view)
	}
	ada.until(`!document.querySelector('#signin').hidden`)
	check("1-signin")
	ada.signIn()
	check("2-empty")

	grace := b.visit("Grace", site.url()+"/r/lobby", desktop).signIn()
	grace.say("Good morning! The new build went out at 9:40. Did anybody notice?")
	grace.say("I did not.")
	ada.sees("I did not.")
	ada.say("Not at all. My socket stayed open all the time, see https://example.org/deploys/42")
	ada.say("🎉")
	grace.sees("🎉")
	grace.say("@Ada Lovelace shall we write down how that works?\nWith a picture, perhaps.")
	ada.sees("@Ada Lovelace shall we write down how that works?\nWith a picture, perhaps.")
	ada.say("Yes, let us do that after lunhc")
	ada.sees("Yes, let us do that after lunhc")
	check("3-talk")

	ada.openMenu("I did not.")
	check("4-menu")
	ada.click(`#menu [aria-label="React with ❤️"]`)
	ada.until(`document.querySelector('.reaction')?.textContent === '❤️1' && !document.querySelector('#menu').open`)
	ada.openMenu("I did not.")
	ada.click(`#menu [aria-label="Another emoji"]`)
	check("5-emoji")
	ada.keys("\x1b")
	grace.until(`document.querySelector('.reaction')?.textContent === '❤️1'`)
	grace.do("react too", click(".reaction"))
	ada.until(`document.querySelector('.reaction').textContent === '❤️2'`)

	ada.keysIn(kb.ArrowUp)
	ada.until(`document.querySelector('#composer .editing:not([hidden])')`)
	check("6-edit")
	ada.keysIn("\b\b\bnch\r")
	ada.sees("Yes, let us do that after lunch")
	grace.sees("Yes, let us do that after lunch")
	ada.openMenu("🎉")
	ada.click(`#menu .danger`)
	check("7-delete")
	ada.click(`#menu .danger`)
	ada.sees("You deleted this message")
	grace.sees("This message was deleted")
	grace.keysIn("I am typing")
	ada.until(`document.querySelector('#composer .typing').textContent === 'Grace is typing'`)
	check("8-changed")
	ada.keysIn("@Gr")
	ada.until(`document.querySelectorAll('#offer li').length === 1`)
	check("9-offer")
	ada.keysIn("\t:roc")
	ada.until(`document.querySelector('#offer li')?.textContent.startsWith('🚀')`)
	ada.keysIn("\r\r")
	ada.sees("@Grace 🚀")

	if l.touch {
		ada.click("#header .menu")
		ada.until(`document.querySelector('#rooms.open')`)
		check("10-rooms")
		ada.click("#rooms .close")
		ada.until(`getComputedStyle(document.querySelector('#scrim')).visibility === 'hidden'`)
		ada.click("#header .who")
		ada.until(`document.querySelector('#people.open')`)
		check("11-people")
		ada.click("#people .close")
		ada.until(`getComputedStyle(document.querySelector('#scrim')).visibility === 'hidden'`)
	}
	ada.click("#header .search")
	ada.until(`document.querySelector('dialog#search').open`)
	check("12-search")
	ada.do("search in vain", sendKeys("#search-words", "dirigible"))
	ada.until(`document.querySelector('#search .summary').textContent === 'Nothing here says “dirigible”.'`)
	check("26-nothing")
	eval[any](ada, `document.querySelector('#search-words').select()`)
	ada.do("search", sendKeys("#search-words", "new build"))
	ada.until(`document.querySelectorAll('#search ol a').length === 1`)
	check("13-found")
	ada.click("#search ol a")
	ada.until(`document.activeElement.id === 'm1'`)
	check("14-permalink")

	site.stop()
	ada.until(`document.querySelector('#banner.shown')?.dataset.kind === 'busy'`)
	ada.say("This waits until we are back.")
	ada.until(`document.querySelector('.message.pending')`)
	check("15-away")
	site.start()
	// It may have come back by itself meanwhile.
	eval[any](ada, `(button => { if (button) { button.focus(); button.click() } })(document.querySelector('#banner.shown button:not([hidden])'))`)
	ada.until(`document.activeElement === document.querySelector('#composer textarea')`)
	ada.sees("This waits until we are back.")
	ada.until(`document.querySelector('#banner').dataset.kind === 'back'`)
	ada.shot(name + "-16-back")

	for i := range 40 {
		grace.say(fmt.Sprintf("line %d", i))
	}
	ada.sees("line 39")
	eval[any](ada, `document.querySelector('#scroller').scrollTop = 0`)
	ada.until(`document.querySelector('#pill.shown')`)
	grace.say("and one more")
	ada.until(`document.querySelector('#pill .text').textContent === '1 new'`)
	check("17-pill")
	showRooms(ada, grace, check)
	showAccount(ada, check)
	showFailure(ada, site, check)
	ada.healthy()
	grace.healthy()
}

// showRooms finds a room in which much was said, and comes back to what is new.
func showRooms(ada, grace *tab, check func(string)) {
	open := func() {
		if ada.look.touch {
			ada.click("#header .menu")
			ada.until(`document.querySelector('#rooms.open')`)
		}
	}
	open()
	ada.do("look for a room", sendKeys("#rooms .find input", "des"))
	ada.until(`document.querySelector('#rooms .others [data-room="design"]') && document.querySelector('#rooms .create:not([hidden])')`)
	check("18-find")
	ada.click(`#rooms .others [data-room="design"]`)
	ada.sees("message 300")
	check("19-busy")
	grace.say("Back to the lobby, everybody?")
	grace.say("There is cake.")
	ada.until(`document.title.startsWith('(')`)
	open()
	check("20-unread")
	ada.click(`#rooms [data-room="lobby"]`)
	ada.until(`document.querySelector('.divider')`)
	check("21-divider")
}

// showFailure leaves something unsent behind, comes back as somebody else, and is
// kept out.
func showFailure(ada *tab, site *site, check func(string)) {
	site.stop()
	ada.until(`document.querySelector('#banner.shown')?.dataset.kind === 'busy'`)
	ada.say("Nobody has got this yet.")
	ada.until(`document.querySelector('.message.pending')`)
	ada.do("lose the session", call(network.ClearBrowserCookies, cdp.Empty{}))
	site.start()
	ada.untilWithin(longestWait, `!document.querySelector('#signin').hidden`)
	check("27-ended")
	ada.name = "Robin"
	ada.click("#signin .other")
	ada.do("be somebody else", chromedp.SetValue("#signin #name", ada.name), strike("\r"))
	ada.live()
	ada.until(`document.querySelector('.message.failed')`)
	check("28-failed")
	eval[any](ada, `document.querySelector('.message.failed .status button').click()`)
	ada.sees("Nobody has got this yet.")
	site.admin("ban", ada.name)
	ada.until(`document.querySelector('#banner.shown')?.dataset.kind === 'stopped'`)
	check("29-banned")
}

// showAccount keeps the guest's name, and leaves and comes back.
func showAccount(ada *tab, check func(string)) {
	ada.openAccount()
	ada.until(`!document.querySelector('#account .keep').hidden`)
	check("22-guest")
	ada.do("keep the name", sendKeys(`#account .keep [name="password"]`, "correct horse battery\r"))
	ada.until(`document.querySelector('#account .done').textContent !== ''`)
	check("23-account")
	ada.do("be refused", sendKeys(`#account .change [name="old"]`, "not my password"), sendKeys(`#account .change [name="password"]`, "battery staple horse\r"))
	ada.until(`document.querySelector('#account .problem').textContent !== ''`)
	check("24-refused")
	ada.click("#account .signout")
	ada.until(`!document.querySelector('#signin').hidden && !document.querySelector('#account').open`)
	ada.click("#signin .other")
	check("25-signin")
	ada.signInWith("correct horse battery")
	ada.sees("line 39")
}
