// Package config turns what an operator wrote into what the supervisor does,
// and says of every mistake what it is, where, and what would be right.
//
// [Load] reads supervisor.toml, whose keys [Reference] lists.
//
// Paths are relative to the file's folder. The files that env_file names have
// the syntax of systemd's EnvironmentFile= and are read by [Program.Environ],
// each time a program is started.
//
// A file is right as a whole or not at all: [Load] reports all its [Mistakes]
// together. Values of environment variables are never shown, in none of them.
package config
