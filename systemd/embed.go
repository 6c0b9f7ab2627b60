// Package systemd has what SimpleTalk needs to run under systemd 252 or later: the
// units and the settings of an installed machine, as files in this folder and
// here as text. Each directive that is not plain has its reason beside it.
//
// [Files] says where an installation has them. Then, as root:
//
//	systemd-sysusers simpletalk.conf
//	systemd-tmpfiles --create simpletalk.conf
//	systemctl daemon-reload
//	systemctl enable --now simpletalk
//
// The unit expects the build behind the link /opt/simpletalk/current. For a
// developer there is [UserService], which needs neither root nor these paths.
//
// Its tests keep the units within systemd 252, the hardening at an exposure of
// 2.0 or less, and boot them (package sdbox).
package systemd

import _ "embed"

var (
	// Service is the unit of the supervisor.
	//
	//go:embed simpletalk.service
	Service string

	// Socket is the unit of the HTTP socket that the supervisor is given.
	//
	//go:embed simpletalk.socket
	Socket string

	// JIT is a drop-in of [Service] for programs that compile at run time.
	//
	//go:embed jit.conf
	JIT string

	// UserService is the unit for a user's own service manager.
	//
	//go:embed simpletalk-user.service
	UserService string

	// Sysusers makes the user of [Service], see sysusers.d(5).
	//
	//go:embed simpletalk.sysusers.conf
	Sysusers string

	// Tmpfiles makes the folders that [Service] does not make itself, see
	// tmpfiles.d(5).
	//
	//go:embed simpletalk.tmpfiles.conf
	Tmpfiles string

	// DeployerSysusers lets the user "deployer" reach the control socket.
	//
	//go:embed simpletalk-deployer.sysusers.conf
	DeployerSysusers string

	// DeployerTmpfiles gives the user "deployer" what a deploy changes. It comes
	// before [Tmpfiles].
	//
	//go:embed simpletalk-deployer.tmpfiles.conf
	DeployerTmpfiles string

	// Config is an example of the supervisor's configuration.
	//
	//go:embed supervisor.toml
	Config string

	// Env is an example of the program's environment.
	//
	//go:embed env
	Env string
)

// Files returns what an installed machine has, by path. All have mode 0644
// until systemd-tmpfiles gives those in /etc/simpletalk theirs, which are the
// administrator's once they are there.
func Files() map[string]string {
	return map[string]string{
		"/etc/systemd/system/simpletalk.service": Service,
		"/etc/systemd/system/simpletalk.socket":  Socket,
		"/etc/sysusers.d/simpletalk.conf":        Sysusers,
		"/etc/tmpfiles.d/simpletalk.conf":        Tmpfiles,
		"/etc/simpletalk/supervisor.toml":        Config,
		"/etc/simpletalk/env":                    Env,
	}
}
