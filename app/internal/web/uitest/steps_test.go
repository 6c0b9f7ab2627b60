package uitest

import (
	"context"
	"fmt"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func click(selector string) chromedp.Action[chromedp.Void] { return chromedp.Click(selector) }

func sendKeys(selector, keys string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(selector, keys)
}

// discard runs a step for what it does.
func discard[T any](a chromedp.Action[T]) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Run(ctx, a)
		return err
	})
}

// keysIn types into the composer, on a phone after a tap on it.
func (t *tab) keysIn(keys string) {
	t.t.Helper()
	if t.look.touch {
		t.click("#composer textarea")
		t.keys(kb.End)
	}
	t.do("type", chromedp.SendKeys("#composer textarea", keys))
}

// openMenu opens the actions of the message that says text: with a touch, or
// with the keyboard.
func (t *tab) openMenu(text string) {
	t.t.Helper()
	if t.look.touch {
		eval[any](t, fmt.Sprintf(`%s.querySelector('.text').click()`, node(text)))
	} else {
		eval[any](t, fmt.Sprintf(`%s.focus()`, node(text)))
		t.keys("\r")
	}
	t.until(`document.querySelector('#menu').open`)
}
