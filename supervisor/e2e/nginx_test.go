package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// nginxConf is a proxy that keeps its connections to the site open, for a
// shorter time than an old worker lingers.
const nginxConf = `
daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 16384; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
	upstream chat {
		server %[3]s max_fails=0;
		server %[3]s max_fails=0; # again: where nginx repeats what a killed worker had
		keepalive 16;
		keepalive_timeout 5s;
	}
	server {
		listen %[2]s;
		location / {
			proxy_pass http://chat;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
			proxy_read_timeout 2m;
			proxy_set_header Host $http_host;
			proxy_next_upstream error;
		}
	}
}
`

// startNginx starts a real nginx in front of a site and returns its address.
func startNginx(t *testing.T, s *site) string {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			skip(t, "there is no nginx (Debian: apt-get install nginx-light)")
		}
	}
	dir := t.TempDir()
	addr := freeAddress(t)
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, addr, s.addr), 0o644); err != nil {
		t.Fatal(err)
	}
	var out output
	c := exec.Command(nginx, "-p", dir, "-c", conf)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		c.Wait()
	})
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if probe, err := net.Dial("tcp", addr); err == nil {
			probe.Close()
			return addr
		}
		if time.Now().After(end) {
			t.Fatalf("nginx does not listen: %s", out.String())
		}
	}
}

// freeAddress returns a loopback address on which nobody listens at the
// moment.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
