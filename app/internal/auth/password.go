package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"
)

// Cost of a password's hash: 19 MiB, two passes, one lane, as the OWASP Password
// Storage Cheat Sheet asks of Argon2id at least.
const (
	argonMemory  = 19456 // KiB
	argonPasses  = 2
	argonLanes   = 1
	argonSalt    = 16 // bytes
	argonKey     = 32 // bytes
	argonAtOnce  = 2  // hashes: 38 MiB
	argonWaiting = 16 // callers; the next one is turned away
)

// hashWait is how long a caller waits for its turn before it is turned away.
const hashWait = 2 * time.Second

// Sizes of a password.
const (
	minPassword = 8   // code points
	maxPassword = 128 // code points: a phrase, and no burden
)

var (
	// ErrBusy: more passwords are being hashed than this machine should. The
	// same call may succeed in a moment.
	ErrBusy = errors.New("too many people are signing in, try again in a moment")
	// ErrPassword: the name is not kept, or with another password.
	ErrPassword = errors.New("name and password do not belong together")
)

// common are the 3000 most frequent passwords of at least 8 characters among the
// ten million that Mark Burnett published into the public domain in 2015, as
// zxcvbn (https://github.com/dropbox/zxcvbn) counts them; sorted, one a line.
//
//go:embed common.txt
var common string

// preparePassword returns the bytes that are hashed, by the PRECIS profile
// OpaqueString (RFC 8265 section 4.2): the same on every keyboard. Its errors are
// *[wire.Error].
func preparePassword(password string) (string, error) {
	prepared, err := precis.OpaqueString.String(password)
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		return "", badName("a password has at least %d characters", minPassword)
	case n > maxPassword:
		return "", badName("a password has at most %d characters", maxPassword)
	case err != nil:
		return "", badName("a password may not hold control characters or ones that nobody can see")
	}
	return prepared, nil
}

// choosePassword is preparePassword of a new password for a name: one that is not
// among the first that others would try.
func choosePassword(password, name string) (string, error) {
	prepared, err := preparePassword(password)
	if err != nil {
		return "", err
	}
	lower := strings.ToLower(prepared)
	switch {
	case strings.Contains("\n"+common, "\n"+lower+"\n"), distinct(lower) < 4:
		return "", badName("this one is among the first that others try, take several words instead")
	case lettersOf(name) != "" && NameKey(lettersOf(password)) == NameKey(lettersOf(name)), NameKey(password) == NameKey(name):
		return "", badName("the password must not be the name")
	}
	return prepared, nil
}

// lettersOf leaves out what people put around a name to make it a password.
func lettersOf(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsMark(r) {
			return r
		}
		return -1
	}, s)
}

// distinct counts the different characters of s.
func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

// hasher hashes passwords, a few at once: each takes argonMemory. Make it with
// newHasher.
type hasher struct {
	queue chan struct{} // whoever waits or hashes
	turns chan struct{} // whoever hashes
	shed  func()        // called for each caller that is turned away
}

func newHasher(shed func()) *hasher {
	return &hasher{queue: make(chan struct{}, argonAtOnce+argonWaiting), turns: make(chan struct{}, argonAtOnce), shed: shed}
}

// key derives the key of a password. ErrBusy when there is no turn soon.
func (h *hasher) key(ctx context.Context, password string, p hashParams) ([]byte, error) {
	select {
	case h.queue <- struct{}{}:
		defer func() { <-h.queue }()
	default:
		h.shed()
		return nil, ErrBusy
	}
	soon := time.NewTimer(hashWait)
	defer soon.Stop()
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
	case <-soon.C:
		h.shed()
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, fmt.Errorf("hash password: %w", ctx.Err())
	}
	return argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.lanes, uint32(len(p.key))), nil
}

// hash returns the hash of a password under a new salt, in PHC string format
// (https://github.com/P-H-C/phc-string-format).
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	p := hashParams{memory: argonMemory, passes: argonPasses, lanes: argonLanes, salt: make([]byte, argonSalt), key: make([]byte, argonKey)}
	rand.Read(p.salt) // never fails: it ends the process instead
	key, err := h.key(ctx, password, p)
	p.key = key
	return p.String(), err
}

// nobody is the hash of no password. Whoever asks for a name that is not kept
// waits as long as for one that is.
var nobody = hashParams{memory: argonMemory, passes: argonPasses, lanes: argonLanes, salt: make([]byte, argonSalt), key: make([]byte, argonKey)}

// verify compares a password with a hash; with that of "" it takes as long and
// fails. ErrPassword if it is another.
func (h *hasher) verify(ctx context.Context, hash, password string) error {
	p := nobody
	if hash != "" {
		var err error
		if p, err = parseHash(hash); err != nil {
			return err
		}
	}
	key, err := h.key(ctx, password, p)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(key, p.key) != 1 || hash == "" {
		return ErrPassword
	}
	return nil
}

// hashParams is a hash and how it was made.
type hashParams struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

func (p hashParams) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes, b64(p.salt), b64(p.key))
}

// parseHash reads what String wrote, perhaps with another cost. It accepts no
// cost that a store could be made to hurt us with.
func parseHash(s string) (p hashParams, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return p, errors.New("a stored password hash is not one of Argon2id")
	}
	var version int
	_, err = fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &p.memory, &p.passes, &p.lanes)
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	p.salt, p.key = salt, key
	if err := errors.Join(err, saltErr, keyErr); err != nil {
		return p, fmt.Errorf("a stored password hash cannot be read: %w", err)
	}
	if version != argon2.Version || p.lanes < 1 || p.passes < 1 || p.passes > 10 || p.memory > 64<<10 || len(key) < 16 || len(key) > 64 {
		return p, errors.New("a stored password hash has a cost that is not accepted")
	}
	return p, nil
}
