package uitest

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// openAccount opens the account dialog with every part of it unfolded.
func (t *tab) openAccount() {
	t.t.Helper()
	if t.look.touch {
		t.click("#header .menu")
		t.until(`document.querySelector('#rooms.open')`)
	}
	t.click("#rooms .me")
	t.until(`document.querySelector('dialog#account').open`)
	eval[any](t, `document.querySelectorAll('#account details').forEach(d => { d.open = true })`)
}

// done waits for what the account dialog says of something that succeeded.
func (t *tab) done(word string) {
	t.t.Helper()
	t.until(fmt.Sprintf(`document.querySelector('#account .done').textContent === %s`, quote(word)))
}

// signInWith signs in with a password, on the name form.
func (t *tab) signInWith(password string) *tab {
	t.t.Helper()
	t.until(`!document.querySelector('#signin').hidden`)
	if !eval[bool](t, `document.querySelector('#password').checkVisibility()`) {
		t.click("#signin .other")
	}
	eval[any](t, `document.querySelectorAll('#signin input').forEach(e => { e.value = '' })`)
	t.do("sign in", sendKeys("#signin #name", t.name), sendKeys("#signin #password", password+"\r"))
	t.live()
	return t
}

// A name is kept with a password, used on another device, and given up: each
// device is signed out at once where it should be, and what was said stays.
func TestAccount(t *testing.T) {
	const first, second = "correct horse battery", "battery staple horse"
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", desktop).signIn()
	grace := b.visit("Grace", site.url()+"/r/lobby", desktop).signIn()
	ada.say("mine")
	grace.sees("mine")

	ada.openAccount()
	ada.do("keep the name", sendKeys(`#account .keep [name="password"]`, first+"\r"))
	ada.done("The name is yours. Sign in with it anywhere.")

	elsewhere := b.visit("Ada", site.url()+"/r/lobby", phone).signInWith(first)
	elsewhere.sees("mine")
	if !eval[bool](elsewhere, `document.querySelector('.message').classList.contains('mine')`) {
		t.Error("what was said on the other device is somebody else's")
	}
	elsewhere.openAccount()
	elsewhere.until(`document.querySelectorAll('#account .devices li').length === 2 && document.querySelector('#account .devices').textContent.includes('This device')`)
	elsewhere.click("#account .devices .others")
	elsewhere.done("Signed out everywhere else.")
	ada.until(`!document.querySelector('#signin').hidden && document.querySelector('#signin .invitation').textContent.startsWith('Your session has ended')`)

	ada.signInWith(first)
	ada.openAccount()
	ada.do("change the password", sendKeys(`#account .change [name="old"]`, first), sendKeys(`#account .change [name="password"]`, second+"\r"))
	ada.done("Your password is changed. Every other device is signed out.")
	elsewhere.until(`!document.querySelector('#signin').hidden && !document.querySelector('#account').open`)
	elsewhere.do("try the old one", sendKeys("#signin #password", first+"\r"))
	elsewhere.until(`document.querySelector('#signin .problem').textContent !== ''`)
	elsewhere.signInWith(second)

	ada.do("delete the account", sendKeys(`#account .remove [name="password"]`, second+"\r"))
	ada.until(`!document.querySelector('#signin').hidden && !document.querySelector('#account').open`)
	elsewhere.until(`!document.querySelector('#signin').hidden`)
	grace.do("reload", chromedp.Reload())
	grace.sees("mine")
	grace.until(`document.querySelector('.author').textContent === 'deleted user'`)
	for _, who := range []*tab{ada, elsewhere, grace} {
		who.healthy()
	}
}
