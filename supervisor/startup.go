//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/install"
	"github.com/simpletalk/simpletalk/systemd"
)

// startupFlags are those of startup and unstartup.
type startupFlags struct {
	user     string
	group    string // of the user
	deployer string // "" for root alone
	print    bool
	jit      bool
}

const defaultUser = "simpletalk"

func newStartup() *cobra.Command {
	var f startupFlags
	c := &cobra.Command{
		Use:   "startup",
		Short: "Make the supervisor a service that starts with the machine",
		Long: `startup writes systemd's unit files and, where there are none, settings in
/etc/simpletalk; makes the user that the service runs as; and enables and starts
the service. It says what it does, and doing it again changes nothing.

With --deployer that user may run 'supervisor deploy' without being root: builds
and /etc/simpletalk/deploy become his, and the control socket admits him. Settings
that are there already are left alone: have group = "simpletalk" in [control] and
"-/etc/simpletalk/deploy/env" among env_file then.

Run by root it is a service of the machine, for the build behind the link
/opt/simpletalk/current. Run by anybody else it is one of the user's own service
manager, for the build behind ~/.local/opt/simpletalk/current.`,
		Example: `  sudo supervisor startup
  supervisor startup --print`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := f.plan(os.Geteuid() == 0)
			if err != nil {
				return err
			}
			if f.print {
				return p.Print(c.OutOrStdout())
			}
			if err := bootedBySystemd(); err != nil {
				return err
			}
			return thisMachine(c).Apply(c.Context(), p)
		},
	}
	c.Flags().StringVar(&f.user, "user", defaultUser, "`USER` that a service of the machine runs as; made if it is the default")
	c.Flags().StringVar(&f.deployer, "deployer", "", "`USER` who may deploy, such as that of a CI runner")
	c.Flags().BoolVar(&f.jit, "jit", false, "let programs compile at run time, as Node's do (MemoryDenyWriteExecute=no)")
	c.Flags().BoolVar(&f.print, "print", false, "show what would be done, and do nothing")
	return c
}

func newUnstartup() *cobra.Command {
	f := startupFlags{user: defaultUser, jit: true} // everything that startup may have made
	return &cobra.Command{
		Use:   "unstartup",
		Short: "Undo what startup did",
		Long: `unstartup stops and disables the service and removes what 'supervisor startup' has
written, settings only as they were written. Data stays, and so does what somebody
else wrote; it says where.`,
		Example: "  sudo supervisor unstartup",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := f.plan(os.Geteuid() == 0)
			if err != nil {
				return err
			}
			p.Files = append(p.Files, f.deployerFiles()...)
			if err := bootedBySystemd(); err != nil {
				return err
			}
			return thisMachine(c).Revert(c.Context(), p)
		},
	}
}

// bootedBySystemd refuses a machine without systemd (sd_booted(3)).
func bootedBySystemd() error {
	if info, err := os.Stat("/run/systemd/system"); err != nil || !info.IsDir() {
		return errors.New("this machine was not booted by systemd: run 'supervisor run --detach' from whatever starts services here, or --print the units")
	}
	return nil
}

func thisMachine(c *cobra.Command) install.Machine {
	return install.Machine{Run: install.Command, Out: c.OutOrStdout()}
}

// plan is what makes the service, of the machine or of a user.
func (f startupFlags) plan(root bool) (install.Plan, error) {
	if !root {
		return f.userPlan()
	}
	f.group = defaultUser
	if f.user != defaultUser {
		var err error
		if f.group, err = groupOf(f.user); err != nil {
			return install.Plan{}, usage(err)
		}
	}
	if f.deployer == "" {
		return f.machinePlan(), nil
	}
	if _, err := user.Lookup(f.deployer); err != nil {
		return install.Plan{}, usage(fmt.Errorf("--deployer %q: no such user", f.deployer))
	}
	return f.withDeployer(f.machinePlan()), nil
}

// groupOf is the name of a user's own group.
func groupOf(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", fmt.Errorf("--user %q: no such user", name)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return "", fmt.Errorf("--user %q: its group %s has no name", name, u.Gid)
	}
	return g.Name, nil
}

// machinePlan is the plan of a service of the machine.
func (f startupFlags) machinePlan() install.Plan {
	p := install.Plan{
		Files: []install.File{
			ours("/etc/sysusers.d/simpletalk.conf", systemd.Sysusers),
			ours("/etc/tmpfiles.d/simpletalk.conf", f.owned(systemd.Tmpfiles)),
			settingsFile("/etc/simpletalk/supervisor.toml", systemd.Config),
			settingsFile("/etc/simpletalk/env", systemd.Env),
			ours("/etc/systemd/system/simpletalk.socket", systemd.Socket),
			ours("/etc/systemd/system/simpletalk.service", f.owned(systemd.Service)),
		},
		Do: [][]string{
			{"systemd-sysusers", "/etc/sysusers.d/simpletalk.conf"},
			{"systemd-tmpfiles", "--create", "/etc/tmpfiles.d/simpletalk.conf"},
			{"systemctl", "daemon-reload"},
			{"systemctl", "enable", "--now", "simpletalk.socket", "simpletalk.service"},
		},
		Undo:   [][]string{{"systemctl", "disable", "--now", "simpletalk.service", "simpletalk.socket"}},
		Undone: [][]string{{"systemctl", "daemon-reload"}},
		Data:   []string{"/var/lib/simpletalk", "/var/log/simpletalk", "/opt/simpletalk"},
	}
	if f.user != defaultUser {
		p.Files, p.Do = p.Files[1:], p.Do[1:] // the user is somebody already
	}
	if f.jit {
		p.Files = append(p.Files, ours("/etc/systemd/system/simpletalk.service.d/jit.conf", systemd.JIT))
	}
	return p
}

// The settings that let a deployer in, in those of package systemd.
const (
	envOnly      = `env_file = ["/etc/simpletalk/env"] `
	envAndDeploy = `env_file = ["/etc/simpletalk/env", "-/etc/simpletalk/deploy/env"] `
	controlGroup = "\n# Who may deploy: see 'supervisor startup --deployer'.\n[control]\ngroup = %q\n"
)

// withDeployer lets a user who is not root deploy.
func (f startupFlags) withDeployer(p install.Plan) install.Plan {
	for i, file := range p.Files {
		if file.Path == "/etc/simpletalk/supervisor.toml" {
			text := strings.Replace(systemd.Config, envOnly, envAndDeploy, 1)
			p.Files[i].Content = fmt.Appendf([]byte(text), controlGroup, f.group)
		}
	}
	files := f.deployerFiles()
	p.Files = append(p.Files, files...)
	for i, command := range p.Do {
		if command[0] == "systemd-tmpfiles" { // of two lines for a folder the first counts
			p.Do[i] = []string{"systemd-tmpfiles", "--create", files[1].Path, command[2]}
		}
	}
	p.Do = append([][]string{{"systemd-sysusers", files[0].Path}}, p.Do...)
	p.Do = append(p.Do, []string{"chown", "--recursive", "--no-dereference", f.deployer + ":", "/opt/simpletalk"}) // what root has installed before
	if f.user == defaultUser {                                                                                     // the user comes before its members
		p.Do[0], p.Do[1] = p.Do[1], p.Do[0]
	}
	return p
}

func (f startupFlags) deployerFiles() []install.File {
	whose := strings.NewReplacer("deployer deployer\n", f.deployer+" -\n", "deployer simpletalk\n", f.deployer+" "+f.group+"\n")
	return []install.File{
		ours("/etc/sysusers.d/simpletalk-deployer.conf", whose.Replace(systemd.DeployerSysusers)),
		ours("/etc/tmpfiles.d/simpletalk-deployer.conf", whose.Replace(systemd.DeployerTmpfiles)),
	}
}

// owned is text for the chosen user and its group.
func (f startupFlags) owned(text string) string {
	return strings.NewReplacer(
		"User=simpletalk\n", "User="+f.user+"\n",
		"Group=simpletalk\n", "Group="+f.group+"\n",
		"root simpletalk\n", "root "+f.group+"\n",
	).Replace(text)
}

// userPlan is the plan of a service of the user who asks.
func (f startupFlags) userPlan() (install.Plan, error) {
	if f.user != defaultUser || f.deployer != "" {
		return install.Plan{}, usage(errors.New("--user, --deployer: only root makes services for others"))
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return install.Plan{}, err
	}
	units := filepath.Join(config, "systemd", "user")
	p := install.Plan{
		Files: []install.File{ours(filepath.Join(units, "simpletalk.service"), systemd.UserService)},
		Do: [][]string{
			{"systemctl", "--user", "daemon-reload"},
			{"systemctl", "--user", "enable", "--now", "simpletalk.service"},
		},
		Undo:   [][]string{{"systemctl", "--user", "disable", "--now", "simpletalk.service"}},
		Undone: [][]string{{"systemctl", "--user", "daemon-reload"}},
	}
	if f.jit {
		p.Files = append(p.Files, ours(filepath.Join(units, "simpletalk.service.d", "jit.conf"), systemd.JIT))
	}
	return p, nil
}

// ours is a file that startup may write anew and remove.
func ours(path, content string) install.File {
	return install.File{Path: path, Mode: 0o644, Content: []byte("# " + install.Mark + ".\n" + content)}
}

// settingsFile is one that is the operator's once it is there.
func settingsFile(path, content string) install.File {
	return install.File{Path: path, Mode: 0o640, Content: []byte(content), Settings: true}
}
