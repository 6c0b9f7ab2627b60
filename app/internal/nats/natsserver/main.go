// Command natsserver is a real NATS server for the tests of package nats. It is
// a module of its own, so that nothing it needs becomes a dependency of the
// chat.
//
//	natsserver CONFIG             serve as the configuration file says
//	natsserver credentials DIR    make a user with a credentials file
//
// Serving, it prints the URL it is reached at, and serves until its standard input ends
// or it is killed.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// patience is how long the server may take to listen.
const patience = 20 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "natsserver:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "credentials":
		return writeCredentials(args[1])
	case len(args) != 1:
		return errors.New("give the configuration file")
	}
	options, err := server.ProcessConfigFile(args[0])
	if err != nil {
		return err
	}
	options.NoSigs = true
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		return fmt.Errorf("not listening after %s", patience)
	}
	fmt.Println(s.ClientURL())
	io.Copy(io.Discard, os.Stdin) // until whoever started this ends, or wants it to end
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
