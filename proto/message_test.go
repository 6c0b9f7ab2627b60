package proto

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// everyMessage holds one of each kind; TestEveryKindIsHere keeps it whole.
var everyMessage = []Message{
	Hello{Versions: []int{1}, Generation: 7, Build: Build{"1.2.3", "abc"}, PID: 42, Formats: Formats{"ws": {2, 1}}, Files: 20000},
	Ready{}, Go{}, Ping{}, Pong{},
	Go{Swap: 3, From: Owner{Generation: 7, Phase: PhaseFrozen, Swap: 3}},
	Keep{Conns: []Kept{{ID: 1<<63 + 1, Meta: []byte{0, 255}}, {ID: 2}}, Anew: true},
	Note{Conns: []Kept{{ID: 1, Meta: []byte("m")}}},
	Drop{IDs: []uint64{1, 1<<64 - 1}},
	Rekeep{}, Rekept{N: 3, Role: "serving", Swap: 2},
	Adopt{Swap: 3, Conns: []Kept{{ID: 1}}},
	Built{Swap: 3, N: 1},
	Freeze{Swap: 3, Formats: map[string]int{"ws": 1}, DeadlineMS: 100},
	Frozen{Swap: 3, N: 5000, Late: []uint64{4}},
	Load{Swap: 3, Formats: map[string]int{"ws": 1}},
	Loaded{Swap: 3, N: 5000},
	Recover{Swap: 3, From: Owner{Generation: 7, Phase: PhaseServing}},
	Live{Swap: 3, N: 5000, Broken: 1},
	Refused{Swap: 3, Why: "no room"},
	Resume{Swap: 3},
	Release{Swap: 3, IDs: []uint64{4}},
	Late{Swap: 3, Formats: map[string]int{"ws": 1}, ID: 4, State: []byte("s")},
	Stats{Conns: 5000},
	Peers{N: 2},
	Publish{Data: []byte("doorbell\x00\xff")},
	Deliver{Data: []byte("doorbell")},
	Drain{Why: WhyDeploy, Rate: 300, TimeoutMS: 30000},
	Drained{},
	Bye{Reason: "deploy"},
	Unknown{Name: "freeze"},
}

func TestMessagesSurviveTheirPacket(t *testing.T) {
	for _, want := range everyMessage {
		packet, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(packet)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Decode(%s) = %#v, %v, want %#v", packet, got, err, want)
		}
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	got, err := Decode([]byte(`stats {"conns":3,"rooms":9}`))
	if want := (Stats{Conns: 3}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestBadPackets(t *testing.T) {
	for _, packet := range []string{"", "hello", "hello{}", "HELLO {}", " {}", "hello 1", "hello {", `drain {"rate":"fast"}`, strings.Repeat("a", 33) + " {}"} {
		if m, err := Decode([]byte(packet)); err == nil {
			t.Errorf("Decode(%q) = %#v, want an error", packet, m)
		}
	}
}

func TestTooLongAMessage(t *testing.T) {
	if _, err := Encode(Publish{Data: make([]byte, MaxPacket)}); err == nil {
		t.Error("a message above MaxPacket was encoded")
	}
}

func TestNegotiateFormats(t *testing.T) {
	giver, taker := Formats{"ws": {1}, "app": {2, 1}}, Formats{"ws": {1}, "app": {3, 2}}
	want := map[string]int{"ws": 1, "app": 2}
	if got, err := NegotiateFormats(giver, taker); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, taker := range []Formats{{"ws": {1}, "app": {3}}, {"ws": {1}}, {"ws": {1}, "app": {1}, "more": {1}}, nil} {
		got, err := NegotiateFormats(giver, taker)
		if !errors.Is(err, ErrNoCommonFormat) {
			t.Errorf("with %v: got %v, %v, want ErrNoCommonFormat", taker, got, err)
		}
	}
}

func TestNegotiate(t *testing.T) {
	if v, err := Negotiate([]int{3, 2}, []int{4, 2, 1}); v != 2 || err != nil {
		t.Errorf("got %d, %v, want 2", v, err)
	}
	if v, err := Negotiate([]int{1}, []int{2}); !errors.Is(err, ErrNoCommonVersion) {
		t.Errorf("got %d, %v, want ErrNoCommonVersion", v, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range everyMessage {
		packet, _ := Encode(m)
		f.Add(packet)
	}
	f.Add([]byte(`later {"than":"us"}`))
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := Decode(packet)
		if err != nil {
			return
		}
		if _, later := m.(unrecognized); later {
			return
		}
		again, err := Encode(m)
		if err != nil {
			return // grew over MaxPacket: base64 and escapes of what was shorter raw
		}
		m2, err := Decode(again)
		if err != nil || m2.Kind() != m.Kind() {
			t.Errorf("%q decodes to %#v, that to %#v, %v", packet, m, m2, err)
		}
	})
}
