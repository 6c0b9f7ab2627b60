package auth

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
)

// Mode is who may keep a name. Whoever has one may sign in under each.
type Mode string

// Modes of sign-up.
const (
	SignupOpen   Mode = "open"   // everybody
	SignupClosed Mode = "closed" // nobody any more
	SignupCode   Mode = "code"   // who knows the code
)

var (
	// ErrSignupClosed: no further names are kept.
	ErrSignupClosed = errors.New("no further names are kept here")
	// ErrSignupCode: the code was not the one that is asked for.
	ErrSignupCode = errors.New("this is not the code for signing up: ask whoever runs this chat")
)

// minCode is how many bytes a code has at least: it can be tried over and over.
const minCode = 8

// Signup is a mode and its code. The zero value is open.
type Signup struct {
	mode Mode
	code string
}

// ParseSignup reads open, closed or code:SECRET; "" is open. No error shows the
// secret.
func ParseSignup(s string) (Signup, error) {
	mode, code, _ := strings.Cut(s, ":")
	switch {
	case s == "", s == string(SignupOpen):
		return Signup{}, nil
	case s == string(SignupClosed):
		return Signup{mode: SignupClosed}, nil
	case mode == string(SignupCode) && len(code) >= minCode:
		return Signup{mode: SignupCode, code: code}, nil
	case mode == string(SignupCode):
		return Signup{}, fmt.Errorf("code: needs a secret of at least %d characters behind it", minCode)
	default: // which may show a secret
		return Signup{}, errors.New("must be open, closed or code:SECRET")
	}
}

// Mode is how it was set.
func (s Signup) Mode() Mode {
	if s.mode == "" {
		return SignupOpen
	}
	return s.mode
}

// admits tells why somebody with that code may not keep a name.
func (s Signup) admits(code string) error {
	switch s.mode {
	case SignupClosed:
		return ErrSignupClosed
	case SignupCode:
		if subtle.ConstantTimeCompare([]byte(code), []byte(s.code)) != 1 {
			return ErrSignupCode
		}
	}
	return nil
}
