package web

import (
	"io/fs"
	"maps"
	"regexp"
	"strconv"
	"testing"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// The page has its own copy of the close codes that mean more to it than to come
// back, or not to.
func TestThePageKnowsTheCloseCodes(t *testing.T) {
	source, err := fs.ReadFile(files, "ui/model/connection.js")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^const CLOSE_(\w+) = (\d+);`).FindAllStringSubmatch(string(source), -1) {
		got[m[1]], _ = strconv.Atoi(m[2])
	}
	want := map[string]int{
		"STOP": 4500, "ASK": wire.CloseSessionGone,
		"SIGNED_OUT": wire.CloseSignedOut, "BANNED": wire.CloseBanned, "VERSION": wire.CloseVersion,
	}
	if !maps.Equal(got, want) {
		t.Errorf("the page knows %v, want %v", got, want)
	}
	for _, forGood := range []int{wire.CloseBadFrame, wire.CloseSignedOut, wire.CloseBanned, wire.CloseVersion} {
		if forGood < want["STOP"] {
			t.Errorf("%d would have the page come back", forGood)
		}
	}
	for _, passing := range []int{wire.CloseSlow, wire.CloseSilent, wire.CloseHelloMissed, wire.CloseSessionGone, wire.CloseRestart} {
		if passing >= want["STOP"] {
			t.Errorf("%d would keep the page away", passing)
		}
	}
}
