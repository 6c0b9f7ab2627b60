//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// secret is a setting that nobody else may see: it has no flag, since everybody
// can read those, and no error shows it.
type secret struct {
	env        string // the variable that may hold it
	credential string // the file in $CREDENTIALS_DIRECTORY that may
}

var (
	mongoSecret  = secret{"MONGODB_URI", "simpletalk.mongodb-uri"}
	signupSecret = secret{"SIGNUP", "simpletalk.signup"}
	natsSecret   = secret{"NATS_URL", "simpletalk.nats-url"}
)

// value returns the secret and where it was found, "" if nowhere. What a deploy
// may change, the environment, comes before what waits for a restart.
func (s secret) value() (value, where string, err error) {
	if v := strings.TrimSpace(os.Getenv(s.env)); v != "" {
		return v, s.env, nil
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", "", nil
	}
	path := filepath.Join(dir, s.credential)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("read credential: %w", err)
	}
	return strings.TrimSpace(string(b)), path, nil
}
