package uitest

import (
	"context"
	"testing"

	browsers "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Somebody who is spoken to while looking elsewhere is told by the browser,
// once they have asked for that; a click leads to the message.
func TestMentions(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", desktop).signIn()
	grace := b.visit("Grace", site.url()+"/r/lobby", desktop).signIn()
	ada.do("allow it", call(browsers.SetPermission, browsers.SetPermissionParams{
		Permission: &browsers.PermissionDescriptor{Name: "notifications"}, Setting: browsers.PermissionSettingGranted, Origin: site.url(),
		BrowserContextID: chromedp.FromContext(ada.ctx).BrowserContextID,
	}))
	eval[any](ada, `(() => { window.told = []; window.Notification = class extends Notification { constructor(title, options) { super(title, options); told.push(this); } }; return 0 })()`)
	ada.openAccount()
	ada.click("#account .notify")
	ada.until(`localStorage.getItem('simpletalk notify') === 'true'`)
	ada.keys("\x1b")
	grace.say("@Ada while you look")
	ada.sees("@Ada while you look")

	ada.lookElsewhere()
	ada.until(`document.hidden`)
	grace.say("nobody in particular")
	grace.say("@Adam is somebody else")
	grace.say("@ada, have you seen this?")
	ada.until(`told.length > 0`)
	ada.sees("@ada, have you seen this?")
	ada.until(`document.title.startsWith('(3)')`)
	type notification struct{ Title, Body string }
	got := eval[[]notification](ada, `told.map(n => ({Title: n.title, Body: n.body}))`)
	if want := (notification{"Grace in #lobby", "@ada, have you seen this?"}); len(got) != 1 || got[0] != want {
		t.Errorf("the browser told of %+v, want only %+v", got, want)
	}
	if got := eval[[]string](ada, `[...document.querySelectorAll('.text mark')].map(e => e.textContent)`); len(got) != 2 {
		t.Errorf("marked are %q, want the two mentions", got)
	}
	eval[any](ada, `told[0].onclick()`)
	ada.until(`document.activeElement.querySelector('.text')?.textContent === '@ada, have you seen this?'`)
	ada.healthy()
}

// lookElsewhere hides the tab's window, as somebody does who works in another.
func (t *tab) lookElsewhere() {
	t.t.Helper()
	t.do("minimize the window", call(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: false}),
		chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			window, err := cdp.Call(ctx, target, browsers.GetWindowForTarget, browsers.GetWindowForTargetParams{})
			if err != nil {
				return err
			}
			_, err = cdp.Call(ctx, target, browsers.SetWindowBounds, browsers.SetWindowBoundsParams{WindowID: window.WindowID, Bounds: &browsers.Bounds{WindowState: browsers.WindowStateMinimized}})
			return err
		}))
}
