package uitest

import (
	"context"
	"fmt"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func click(selector string) chromedp.Action[chromedp.Void] { return chromedp.Click(selector) }

// sendKeys types into a field.
func sendKeys(selector, keys string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		return chromedp.Do(ctx, chromedp.WaitVisible(selector), chromedp.Focus(selector), strike(keys))
	})
}

// strike presses keys one after the other as a keyboard does: what a key types
// comes with its being pressed, and not at all where the page has taken the
// key. (chromedp's KeyEvent sends the character all the same, to whatever has
// the focus by then.)
func strike(keys string, options ...chromedp.KeyOption) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		for _, r := range keys {
			events := kb.Encode(r)
			down, up := events[0], events[len(events)-1]
			for _, option := range options {
				option(down)
				option(up)
			}
			if types := len(events) == 3 && down.Modifiers&^int64(chromedp.ModifierShift) == 0; types {
				down.Text, down.UnmodifiedText = events[1].Text, events[1].UnmodifiedText
			}
			for _, event := range []*input.DispatchKeyEventParams{down, up} {
				if _, err := cdp.Call(ctx, target, input.DispatchKeyEvent, *event); err != nil {
					return err
				}
			}
		}
		return nil
	})
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
	t.do("type", sendKeys("#composer textarea", keys))
}

// openMenu opens the actions of the message that says text: with a touch, or
// with the keyboard.
func (t *tab) openMenu(text string) {
	t.t.Helper()
	if t.look.touch {
		at := eval[[]float64](t, fmt.Sprintf(`(box => [box.left + box.width / 2, box.top + box.height / 2])(%s.querySelector('.text').getBoundingClientRect())`, node(text)))
		t.do("touch "+text, chromedp.MouseClickXY(at[0], at[1]))
	} else {
		eval[any](t, fmt.Sprintf(`%s.focus()`, node(text)))
		t.keys("\r")
	}
	t.until(`document.querySelector('#menu').open`)
}
