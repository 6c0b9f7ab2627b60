package main

import (
	"bytes"
	"strings"
	"testing"
)

// Each wrong flag has one clear line, and the exit code says that nothing was
// measured.
func TestLoadFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--clients 3 --chatters 4":    "--chatters 4: must be at most the number of --clients, 3",
		"--clients 0":                 "--clients 0: must be 1 or more",
		"--clients 5 --rooms 6":       "--rooms 6: must be at most the number of --clients, 5",
		"--rate 0":                    "--rate 0: must be more than 0",
		"--for -1s":                   "--for -1s: must be more than 0",
		"--for 10":                    `"--for"`,
		"--clients many":              `"--clients"`,
		"--url 127.0.0.1:3000":        "must be http://HOST[:PORT]",
		"--url http://127.0.0.1:1":    "--url http://127.0.0.1:1: nobody answers there",
		"--clients 16000000":          "RLIMIT_NOFILE is",
		"--client 3":                  "unknown flag: --client",
		"--clients 1 --rate 20 extra": "extra",
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"load"}, strings.Fields(args)...), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("load %s: exit %d, %q, want exit %d and one line with %q", args, code, &stderr, exitUsage, want)
		}
		if stdout.Len() > 0 {
			t.Errorf("load %s: wrote %q", args, &stdout)
		}
	}
}
