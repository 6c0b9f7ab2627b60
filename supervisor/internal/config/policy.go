package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Policy says after which ends a program is started again. The zero value is
// "failure": after all but an end by itself with code 0.
type Policy struct {
	rule    rule
	codes   []int            // of listed
	signals []syscall.Signal // of listed
}

type rule int

const (
	failure rule = iota
	always
	never
	listed // the codes and signals only
)

// rules are the words that stand for a whole policy.
var rules = map[string]rule{"failure": failure, "always": always, "never": never}

// maxCode is the greatest exit code that a parent learns of (wait(2)).
const maxCode = 255

// ParsePolicy reads "failure", "always" or "never", or a list of exit codes (0
// to 255) and names of signals.
func ParsePolicy(words []string) (Policy, error) {
	if len(words) == 0 {
		return Policy{}, errors.New(`the list is empty, which is written "never"`)
	}
	if r, ok := rules[words[0]]; ok && len(words) == 1 {
		return Policy{rule: r}, nil
	}
	p := Policy{rule: listed}
	for _, w := range words {
		if err := p.add(w); err != nil {
			return Policy{}, err
		}
	}
	return p, nil
}

func (p *Policy) add(word string) error {
	if _, ok := rules[word]; ok {
		return fmt.Errorf("%q stands alone, not in a list", word)
	}
	if code, err := strconv.ParseUint(word, 10, 32); err == nil && code <= maxCode {
		p.codes = append(p.codes, int(code))
		return nil
	}
	if s, ok := ParseSignal(word); ok {
		p.signals = append(p.signals, s)
		return nil
	}
	return fmt.Errorf(`%s is neither an exit code from 0 to %d nor the name of a signal such as "SIGSEGV"`, quote(word), maxCode)
}

// Restarts reports whether a program is started again that was ended by signal
// or, if that is 0, ended by itself with code.
func (p Policy) Restarts(code int, signal syscall.Signal) bool {
	switch {
	case p.rule == always:
		return true
	case p.rule == never:
		return false
	case p.rule == failure:
		return code != 0 || signal != 0
	case signal != 0:
		return slices.Contains(p.signals, signal)
	default:
		return slices.Contains(p.codes, code)
	}
}

// String is p as it is written in a configuration.
func (p Policy) String() string {
	for word, r := range rules {
		if r == p.rule {
			return word
		}
	}
	var words []string
	for _, c := range p.codes {
		words = append(words, strconv.Itoa(c))
	}
	for _, s := range p.signals {
		words = append(words, SignalName(s))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// MarshalText writes p as the words of [ParsePolicy], with commas between.
func (p Policy) MarshalText() ([]byte, error) {
	return []byte(strings.NewReplacer("[", "", "]", "", " ", "").Replace(p.String())), nil
}

// UnmarshalText reads what [Policy.MarshalText] writes.
func (p *Policy) UnmarshalText(text []byte) error {
	parsed, err := ParsePolicy(strings.Split(string(text), ","))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}
