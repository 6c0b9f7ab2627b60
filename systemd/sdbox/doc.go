//go:build linux

// Package sdbox boots this machine's own systemd as PID 1 of throwaway
// namespaces, so that tests can ask it what it does instead of believing the
// manual. A box takes a tenth of a second to make and half a second to boot.
//
//	box := sdbox.Boot(t, sdbox.Options{})
//	box.Write("/etc/systemd/system/chat.service", unit, 0o644)
//	box.Must("systemctl", "start", "chat")
//	box.Reboot()
//
// It has its own /etc, /opt, /var, /home and /root, which outlive a reboot; its
// own /run, /tmp and /dev, which do not; the machine's /usr, read-only; and one
// network with nothing but a loopback, which outlives reboots as well, so that
// a client in it sees what a client of a real machine would see (see
// [Network]).
//
// When the test ends the box is switched off and everything of it is gone:
// processes, namespaces, mounts, cgroup, files. When the test process dies the
// kernel ends the box; its empty cgroup stays until the next box is made, and so
// do commands that were started outside it ([Network.Command]).
//
// Not enforced inside: MemoryMax=, TasksMax=, CPUQuota=, negative OOM scores,
// LimitNOFILE= over the machine's own limit. Test that systemd has read them
// (systemctl show), not that they work.
//
// It needs root, a mounted cgroup2 and, on Debian and Ubuntu, the packages
// systemd, dbus and util-linux. [Boot] skips the test where something is
// missing, and fails it if REQUIRE_ALL=1.
package sdbox
