package uitest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// The least size of what is pressed, in CSS pixels: with a finger what Apple's
// guidelines and WCAG 2.2, 2.5.5 ask for, with a mouse WCAG 2.2, 2.5.8.
const (
	leastTouched = 44
	leastClicked = 24
)

// fits fails the test for everything that is cut off, out of reach or too
// small to be pressed. Links within a text are excepted, as by WCAG.
func (t *tab) fits(view string) {
	t.t.Helper()
	least := leastClicked
	if t.look.touch {
		least = leastTouched
	}
	found := eval[[]string](t, fmt.Sprintf(`(() => {
		const found = [], least = %d;
		const within = document.querySelector('dialog[open]') ?? document.body;
		const shown = e => e.checkVisibility({opacityProperty: true, visibilityProperty: true}) && !e.closest('[inert], .unseen') && e.getBoundingClientRect().width > 1;
		const say = (what, e) => found.push(what + ': ' + e.outerHTML.slice(0, 120));
		if (document.scrollingElement.scrollWidth > innerWidth) found.push('the page scrolls sideways');
		for (const e of within.querySelectorAll('*')) {
			if (!shown(e) || ![...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim())) continue;
			const box = e.getBoundingClientRect(), style = getComputedStyle(e);
			if (box.left < -1 || box.right > innerWidth + 1) say('beside the screen', e);
			if (style.overflowX !== 'visible' && style.textOverflow !== 'ellipsis' && e.scrollWidth > e.clientWidth + 1) say('cut off', e);
		}
		for (const e of within.querySelectorAll('button, a, input, textarea, summary, [role=option]')) {
			if (!shown(e) || e.closest('.text')) continue;
			const box = (e.type === 'checkbox' ? e.closest('label') : e).getBoundingClientRect();
			if (Math.min(box.width, box.height) < least - 0.5) say(Math.round(box.width) + '×' + Math.round(box.height), e);
		}
		return found;
	})()`, least))
	if len(found) > 0 {
		t.t.Errorf("%s, %s:\n\t%s", t.name, view, strings.Join(found, "\n\t"))
	}
}

// On a phone with a notch and without a button everything keeps clear of both.
func TestSafeAreas(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", phone).signIn()
	top, bottom := int64(47), int64(34) // of an iPhone 14, in points
	ada.do("have a notch", call(emulation.SetSafeAreaInsetsOverride, emulation.SetSafeAreaInsetsOverrideParams{Insets: &emulation.SafeAreaInsets{Top: &top, Bottom: &bottom}}))
	inside := func(what, selector string) {
		t.Helper()
		ada.until(fmt.Sprintf(`(b => b.top >= %d && b.bottom <= innerHeight - %d && b.left >= 0 && b.right <= innerWidth)(document.querySelector(%s).getBoundingClientRect())`,
			top, bottom, quote(selector))) // and not on its way in
		ada.shot("safe-" + what)
	}
	inside("header", "#header h1")
	inside("composer", "#composer .field")
	ada.click("#header .menu")
	inside("rooms", "#rooms .brand")
	inside("rooms", "#rooms .me")
	ada.click("#rooms .me")
	ada.until(`document.querySelector('dialog#account').open`)
	inside("account", "#account .signout")
}

// Who asked for less motion gets none that can be seen.
func TestLessMotion(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", phone).signIn()
	ada.do("ask for less motion", call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}},
	}))
	eval[any](ada, `(() => { window.longest = 0; const look = () => { for (const a of document.getAnimations()) longest = Math.max(longest, a.effect.getComputedTiming().activeDuration); requestAnimationFrame(look); }; look(); return 0 })()`)
	ada.say("hello")
	ada.sees("hello")
	ada.openMenu("hello")
	ada.keys("\x1b")
	ada.until(`!document.querySelector('#menu').open`)
	ada.click("#header .menu")
	ada.until(`document.querySelector('#rooms.open')`)
	ada.click("#rooms .close")
	site.stop()
	ada.until(`document.querySelector('#banner.shown')`)
	if got := eval[float64](ada, `longest`); got > 1 {
		t.Errorf("something moved for %.0f ms", got)
	}
}
