//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// operator is who deletes a message by command. Nobody can have that name, and no
// user that id.
var operator = chat.User{ID: "operator", Name: "operator"}

func newAdmin() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "ban, rename and sign out people, and delete what they posted",
		Long: `Admin changes what the store says of a person or a message. It needs no running
chat; every worker on the same store, on this host or another, acts on it at
once: connections end, and messages vanish.

WHO is a name, or the id that sessions shows. A guest can be named as long as
they have a session.

` + whichStore,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("a command is missing: app admin ban, unban, rename, delete, sessions, grant or revoke")
		},
	}
	for _, c := range adminCommands {
		cmd.AddCommand(c.command())
	}
	return cmd
}

// adminCommand is one command of app admin.
type adminCommand struct {
	use, short string
	args       int
	run        func(d *desk, ctx context.Context, args []string) error
}

var adminCommands = []adminCommand{
	{"ban WHO", "keep somebody out, and end their connections", 1, (*desk).ban},
	{"unban WHO", "let somebody in again", 1, (*desk).unban},
	{"rename WHO NAME", "give somebody another name", 2, (*desk).rename},
	{"delete ROOM SEQ", "delete a message: SEQ is the number behind #m in its link", 2, (*desk).delete},
	{"sessions WHO", "show where somebody is signed in", 1, (*desk).sessions},
	{"grant WHO", "let somebody delete what others post", 1, (*desk).grant},
	{"revoke WHO", "take that right away", 1, (*desk).revoke},
}

func (c adminCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: c.use, Short: c.short, Args: cobra.ExactArgs(c.args),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := readArchiveConfig(cmd.Flags())
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			if err := withDesk(ctx, config, cmd.OutOrStdout(), func(d *desk) error { return c.run(d, ctx, args) }); err != nil {
				return &runError{err}
			}
			return nil
		},
	}
	addArchiveSettings(cmd.Flags())
	return cmd
}

// desk is where an administrator sits: the store, and who knows people.
type desk struct {
	store chat.Archive
	auth  *auth.Auth
	out   io.Writer
}

func withDesk(ctx context.Context, c config, out io.Writer, do func(*desk) error) error {
	store, err := c.source(ctx)
	if err != nil {
		return err
	}
	err = do(&desk{store, auth.New(auth.Options{Store: store, Present: absent{}}), out})
	return errors.Join(err, wrap("close store", store.Close()))
}

// absent is the presence of nobody: a command does not know who is connected.
type absent struct{}

func (absent) NameTaken(string, string) bool { return false }

// person returns the one that is meant.
func (d *desk) person(ctx context.Context, who string) (auth.Person, error) {
	found, err := d.auth.People(ctx, d.store, who)
	switch {
	case err != nil:
		return auth.Person{}, err
	case len(found) == 0:
		return auth.Person{}, fmt.Errorf("nobody is called %q, and no id is: a guest whose sessions have ended cannot be found", who)
	case len(found) > 1:
		var ids []string
		for _, p := range found {
			ids = append(ids, p.User.ID)
		}
		return auth.Person{}, fmt.Errorf("several people are called %q: name one by id: %s", who, strings.Join(ids, ", "))
	}
	return found[0], nil
}

// decide does something about somebody and says so.
func (d *desk) decide(ctx context.Context, who, done string, do func(context.Context, string) error) error {
	p, err := d.person(ctx, who)
	if err == nil {
		err = do(ctx, p.User.ID)
	}
	if err == nil {
		fmt.Fprintf(d.out, "%s %s (%s)\n", done, p.User.Name, p.User.ID)
	}
	return err
}

func (d *desk) ban(ctx context.Context, args []string) error {
	return d.decide(ctx, args[0], "banned", d.auth.Ban)
}

func (d *desk) unban(ctx context.Context, args []string) error {
	return d.decide(ctx, args[0], "let in again", d.auth.Unban)
}

func (d *desk) grant(ctx context.Context, args []string) error {
	return d.decide(ctx, args[0], "an administrator now:", func(ctx context.Context, id string) error { return d.auth.SetAdmin(ctx, id, true) })
}

func (d *desk) revoke(ctx context.Context, args []string) error {
	return d.decide(ctx, args[0], "no administrator any more:", func(ctx context.Context, id string) error { return d.auth.SetAdmin(ctx, id, false) })
}

func (d *desk) rename(ctx context.Context, args []string) error {
	p, err := d.person(ctx, args[0])
	if err != nil {
		return err
	}
	name, err := d.auth.Rename(ctx, p.User.ID, args[1])
	if err == nil {
		fmt.Fprintf(d.out, "renamed %s to %s (%s)\n", p.User.Name, name, p.User.ID)
	}
	return err
}

func (d *desk) sessions(ctx context.Context, args []string) error {
	p, err := d.person(ctx, args[0])
	if err != nil {
		return err
	}
	all, err := d.auth.SessionsOf(ctx, p.User.ID)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%s (%s): %s\n", p.User.Name, p.User.ID, standing(p.Account))
	t := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	for _, s := range all {
		fmt.Fprintf(t, "since %s\tseen %s\t%q\n", when(s.CreatedAt), when(s.SeenAt), s.Agent)
	}
	return t.Flush()
}

// standing says in words what an account is.
func standing(a chat.Account) string {
	words := []string{"guest"}
	if !a.Guest() {
		words[0] = "account since " + when(a.CreatedAt)
	}
	if a.Admin {
		words = append(words, "administrator")
	}
	if a.Banned() {
		words = append(words, "banned since "+when(a.BannedAt))
	}
	return strings.Join(words, ", ")
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// delete appends a deletion to the room's log, as its author would.
func (d *desk) delete(ctx context.Context, args []string) error {
	room := args[0]
	if err := wire.ValidRoom(room); err != nil {
		return err
	}
	seq, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil || seq < 1 {
		return fmt.Errorf("%q must be a number from 1", args[1])
	}
	if err := d.wantPost(ctx, room, seq); err != nil {
		return err
	}
	_, err = d.store.Append(ctx, []chat.Draft{{
		Room: room, Kind: wire.EventDel, User: operator, Of: seq,
		Nonce: fmt.Sprintf("delete-%d", seq), // repeated it is the same
	}})
	if err == nil {
		err = d.store.Tell(ctx, chat.RoomSubject(room))
	}
	if err == nil {
		fmt.Fprintf(d.out, "deleted message %d of room %s\n", seq, room)
	}
	return err
}

// wantPost tells when there is no such message.
func (d *desk) wantPost(ctx context.Context, room string, seq int64) error {
	events, err := d.store.After(ctx, room, seq-1, 1)
	switch {
	case err != nil:
		return err
	case len(events) == 0 || events[0].Seq != seq:
		return fmt.Errorf("room %s has no message %d", room, seq)
	case events[0].Kind != wire.EventPost:
		return fmt.Errorf("number %d of room %s is no message but something about one (%s)", seq, room, events[0].Kind)
	}
	return nil
}
