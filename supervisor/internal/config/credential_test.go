package config

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"testing"
)

// account is a user that every machine has.
func account(t *testing.T) (u *user.User, group *user.Group) {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	group, err = user.LookupGroupId(u.Gid)
	if err != nil {
		t.Skip(err)
	}
	return u, group
}

func TestAsWhomAProgramRuns(t *testing.T) {
	me, mine := account(t)
	other, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	for _, test := range []struct {
		name, text string
		uid, gid   string
	}{
		{"a user", "user = 'nobody'", other.Uid, other.Gid},
		{"a user with another group", "user = 'nobody'\ngroup = '" + mine.Name + "'", other.Uid, mine.Gid},
		{"a group alone", "group = '" + mine.Name + "'", me.Uid, mine.Gid},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := Load(write(t, "x.toml", "[program.x]\ncommand = ['x']\n"+test.text), true)
			if err != nil {
				t.Fatal(err)
			}
			c := f.Programs[0].User
			if c == nil || fmt.Sprint(c.UID) != test.uid || fmt.Sprint(c.GID) != test.gid {
				t.Errorf("got %+v, want %s:%s", c, test.uid, test.gid)
			}
		})
	}
}

func TestTheSupplementaryGroups(t *testing.T) {
	me, _ := account(t)
	c, err := credentialOf(me)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := me.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		n, _ := strconv.ParseUint(id, 10, 32)
		if got, want := slices.Contains(c.Groups, uint32(n)), id != me.Gid; got != want {
			t.Errorf("group %s of %+v: %v, want %v", id, c, got, want)
		}
	}
}

func TestNobodyByThatName(t *testing.T) {
	got := mistakesOf(t, "[program.x]\ncommand = ['x']\nuser = 'no such user'\ngroup = 'no such group'", true)
	want := "3:1: user: this machine has no user \"no such user\"\n4:1: group: this machine has no group \"no such group\""
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTheGroupThatCommands(t *testing.T) {
	_, mine := account(t)
	f := load(t, "[control]\ngroup = '"+mine.Name+"'\n[program.x]\ncommand = ['x']")
	if c := f.Control; c.Group != mine.Name || fmt.Sprint(c.GID) != mine.Gid {
		t.Errorf("got %+v, want %+v", c, mine)
	}
}
