package handover

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
)

// Versions of the state, see the package comment.
const (
	versionBare  = 1
	versionTimed = 2
)

// Versions returns the versions that this build writes and reads, newest first.
func Versions() []int { return []int{versionTimed, versionBare} }

// known refuses a version that nobody has agreed on.
func known(version int) error {
	if !slices.Contains(Versions(), version) {
		return fmt.Errorf("version %d of the chat's state, this build knows %v", version, Versions())
	}
	return nil
}

// encodeConn returns a connection in a version.
func encodeConn(version int, s web.ConnState) ([]byte, error) {
	if err := known(version); err != nil {
		return nil, err
	}
	if version < versionTimed {
		s.AgeMS, s.PingedMS, s.Spent = 0, 0, 0
	}
	return json.Marshal(s)
}

// decodeConn reads what encodeConn wrote, here or in another build.
func decodeConn(version int, b []byte) (s web.ConnState, err error) {
	if err := known(version); err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("state of a connection: %w", err)
	}
	return s, nil
}

// encodeHub returns the hub in a version: it is the same in both.
func encodeHub(version int, s chat.HubState) ([]byte, error) {
	if err := known(version); err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

func decodeHub(version int, b []byte) (s chat.HubState, err error) {
	if err := known(version); err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("state of the rooms: %w", err)
	}
	return s, nil
}
