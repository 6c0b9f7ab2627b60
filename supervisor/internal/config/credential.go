package config

import (
	"errors"
	"os/user"
	"slices"
	"strconv"
)

// Credential is as whom a program runs.
type Credential struct {
	UID, GID uint32
	Groups   []uint32 // the user's supplementary ones, sorted
}

// credential reads user and group. A group alone changes that of the
// supervisor's own user.
func (t *table) credential() *Credential {
	var name, group string
	hasUser := t.text("user", "the name of a user", &name)
	hasGroup := t.text("group", "the name of a group", &group)
	if !hasUser && !hasGroup {
		return nil
	}
	if !t.root {
		t.notRoot("user", hasUser)
		t.notRoot("group", hasGroup)
		return nil
	}
	c := t.account(name)
	if hasGroup {
		c.GID = t.groupID("group", group)
	}
	return &c
}

func (t *table) notRoot(key string, given bool) {
	if given {
		t.mistake(t.at.of(key), "%s%s: only a supervisor that runs as root can start a program as another %s", t.name, key, key)
	}
}

// account returns who the user is, the supervisor's own for "".
func (t *table) account(name string) Credential {
	u, err := find(name)
	if unknown := user.UnknownUserError(""); errors.As(err, &unknown) {
		t.mistake(t.at.of("user"), "%suser: this machine has no user %s", t.name, quote(name))
		return Credential{}
	}
	var c Credential
	if err == nil {
		c, err = credentialOf(u)
	}
	if err != nil {
		t.mistake(t.at.of("user"), "%suser: %v", t.name, err)
	}
	return c
}

func find(name string) (*user.User, error) {
	if name == "" {
		return user.Current()
	}
	return user.Lookup(name)
}

func credentialOf(u *user.User) (Credential, error) {
	uid, err := parseID(u.Uid)
	if err != nil {
		return Credential{}, err
	}
	gid, err := parseID(u.Gid)
	if err != nil {
		return Credential{}, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return Credential{}, err
	}
	var groups []uint32
	for _, id := range ids {
		g, err := parseID(id)
		if err != nil {
			return Credential{}, err
		}
		if g != gid {
			groups = append(groups, g)
		}
	}
	slices.Sort(groups)
	return Credential{UID: uid, GID: gid, Groups: slices.Compact(groups)}, nil
}

// groupID returns the number of the group that is named at key.
func (t *table) groupID(key, name string) uint32 {
	g, err := user.LookupGroup(name)
	if unknown := user.UnknownGroupError(""); errors.As(err, &unknown) {
		t.mistake(t.at.of(key), "%s%s: this machine has no group %s", t.name, key, quote(name))
		return 0
	}
	var gid uint32
	if err == nil {
		gid, err = parseID(g.Gid)
	}
	if err != nil {
		t.mistake(t.at.of(key), "%s%s: %v", t.name, key, err)
	}
	return gid
}

func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}
