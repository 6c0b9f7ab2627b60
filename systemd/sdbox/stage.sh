#!/bin/bash
# The first process of a boot, in new pid, mount, uts and ipc namespaces: it makes
# the file system of the machine and becomes its systemd.
# $1: the box's folder; $2: its cgroup; $3: its network namespace, as a path.
set -eu
box=$1 cgroup=$2 network=$3 root=$1/root
case ${4-} in
"") # into the cgroup first: the cgroup namespace has its root where its maker is
	echo 0 >"$cgroup/cgroup.procs"
	exec unshare --cgroup -- nsenter --net="$network" -- bash "$0" "$@" inside
	;;
esac
cd /
mount --make-rprivate / # nothing below is ever seen outside
mount --bind "$root" "$root"
mount --bind /usr "$root/usr"
mount -o remount,bind,ro "$root/usr"

# What a boot must not change on the machine around is read-only, as in any
# container. A boot has an id of its own: journalctl -b tells boots apart by it.
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,rw,nosuid,nodev,noexec "$root/proc/sys/net"
cat /proc/sys/kernel/random/uuid >"$box/boot_id"
mount --bind "$box/boot_id" "$root/proc/sys/kernel/random/boot_id"
[ ! -e "$root/proc/sysrq-trigger" ] || mount --bind /dev/null "$root/proc/sysrq-trigger"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"

mount -t tmpfs -o mode=755,nosuid,strictatime tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for device in null zero full random urandom tty; do
	: >"$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"

mkdir "$root/run/old"
cd "$root"
pivot_root . run/old
cd /
umount -l /run/old
rmdir /run/old
# PID 1 leaves this to a container manager. Without it what LoadCredential= mounts
# does not reach the service, whose credentials are then empty.
mount --make-rshared /

caps=-all
for cap in audit_control audit_write chown dac_override dac_read_search fowner fsetid ipc_owner kill lease \
	linux_immutable mknod net_admin net_bind_service net_broadcast net_raw setfcap setgid setpcap setuid \
	sys_admin sys_boot sys_chroot sys_nice sys_ptrace sys_resource sys_tty_config; do
	caps=$caps,+$cap
done
exec env -i container=sdbox PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
	setpriv --bounding-set "$caps" --inh-caps -all -- \
	/usr/lib/systemd/systemd --system --show-status=no --log-target=journal
