package config

// Reference is a configuration with every key and, where a key may be left out,
// its default or an example.
const Reference = `environment = "production"       # which of the programs' environments is added; default: none; --env wins

[listen]
http = "127.0.0.1:3000"          # HOST:PORT | tcp://HOST:PORT | unix:///PATH?mode=0660

[control]
group = "simpletalk"             # its members may command the supervisor too; default: the owner and root only

[metrics]
listen = "127.0.0.1:9464"        # for Prometheus, at /metrics: a loopback address or unix:///PATH; default: none

[program.chat]                   # one for each program, at least one
command  = ["/opt/simpletalk/current/app", "serve"]  # required; without a slash it is searched for in $PATH
dir      = "/srv/chat"           # default: the supervisor's
env      = { SIMPLETALK_DATA = "/srv/chat" }
env_file = ["/etc/simpletalk/env"]  # or one string; a '-' before the path: may be missing
environment.production = { env = { LEVEL = "1" }, env_file = "-/etc/simpletalk/env.production" }  # over env and env_file, where it is chosen
listen   = ["http"]              # names of [listen]; default: all for the only program, none for one of several
instances = 1                    # parallel copies, each with $SIMPLETALK_INSTANCE from 0 on
ready_timeout = "10s"
ready_after  = "0s"              # of a program that does not tell when it is ready: when it has lived so long; "0s": it tells
stop_signal  = "TERM"            # for programs that do not speak our protocol
kill_timeout = "30s"             # from the stop signal to SIGKILL of the process group; default: drain.timeout
drain  = { handover = true, timeout = "30s", rate = 300, generations = 5 }  # generations: old ones that drain at once, 1 to 50
bake   = "30s"                   # "0s": none
restart = { min = "100ms", max = "30s", reset_after = "60s", on = "failure" }  # on: "failure", "always", "never" or [1, 75, "SIGSEGV"]
memory_max = "400M"              # default: no limit; K, M, G are powers of 1024
cron   = "0 4 * * *"             # when a fresh worker of the same build takes over, as in crontab(5) or "@daily"; default: never
health = { http = "/readyz", listen = "http", every = "10s", timeout = "2s", failures = 3 }  # default: not asked; listen: the program's first
log    = { memory = "1M", file = "/var/log/simpletalk/chat.log", format = "plain", max_size = "100M", every = "0s", keep = 10, keep_days = 0, compress = true }
# log.memory: how much of the output 'supervisor logs' has, 64K to 256M. log.file: default none; format: "plain", "time" or "json";
# turned over at max_size, and at the age every ("24h"; "0s": none); keep, keep_days: how many of those turned over, how long (0: no limit)
user   = "chat"                  # only where the supervisor is root; default: its own
group  = "chat"                  # default: the user's
`
