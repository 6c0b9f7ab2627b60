package config

import (
	"slices"
	"syscall"
	"testing"
)

func TestWhatAPolicyRestarts(t *testing.T) {
	type end struct {
		code   int
		signal syscall.Signal
	}
	ends := []end{{0, 0}, {1, 0}, {75, 0}, {0, syscall.SIGSEGV}, {-1, syscall.SIGTERM}}
	for _, test := range []struct {
		name  string
		words []string
		want  []end // of ends
	}{
		{"nothing said", nil, ends[1:]},
		{"failure", []string{"failure"}, ends[1:]},
		{"always", []string{"always"}, ends},
		{"never", []string{"never"}, nil},
		{"a code", []string{"75"}, ends[2:3]},
		{"the code of success", []string{"0"}, ends[:1]},
		{"a code and a signal", []string{"1", "SIGSEGV"}, []end{ends[1], ends[3]}},
		{"a signal without SIG", []string{"TERM"}, ends[4:]},
		{"what never happens", []string{"255", "SIGUSR1"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p Policy
			if test.words != nil {
				var err error
				if p, err = ParsePolicy(test.words); err != nil {
					t.Fatal(err)
				}
			}
			for _, e := range ends {
				if got, want := p.Restarts(e.code, e.signal), slices.Contains(test.want, e); got != want {
					t.Errorf("%+v: %v, want %v", e, got, want)
				}
			}
		})
	}
}

func TestAWrongPolicyIsExplained(t *testing.T) {
	for says, words := range map[string][]string{
		"the list is empty":               {},
		`"never" stands alone`:            {"never", "1"},
		`"256" is neither an exit code`:   {"0", "256"},
		`"-1" is neither`:                 {"-1"},
		`"SIGNONE" is neither an exit`:    {"SIGNONE"},
		`nor the name of a signal such`:   {""},
		`"always" stands alone, not in a`: {"1", "always"},
	} {
		t.Run(says, func(t *testing.T) {
			_, err := ParsePolicy(words)
			explained(t, err, says)
		})
	}
}
