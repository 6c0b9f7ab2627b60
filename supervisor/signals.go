//go:build linux

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// receiveSignals catches what attend acts on, from now on.
func receiveSignals() chan os.Signal {
	received := make(chan os.Signal, 16)
	signal.Notify(received, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	return received
}

// attend acts on signals until done: SIGHUP deploys, SIGUSR1 dumps the state into
// the log, SIGUSR2 reopens log files, SIGTERM and SIGINT stop, a second one of
// those stops at once.
func (d *daemon) attend(received chan os.Signal, done <-chan struct{}, stop func()) {
	defer signal.Stop(received)
	var asides sync.WaitGroup // reading configuration takes its time, stopping must not wait for it
	defer asides.Wait()
	terminal := hasTerminal()
	end := func(sig os.Signal) {
		d.log.Info("stopping", "signal", sig.String())
		stop()
	}
	for {
		select {
		case <-done:
			return
		case sig := <-received:
			switch {
			case sig == syscall.SIGHUP && deploysOnHangup(terminal, hasTerminal):
				asides.Go(d.Hangup)
				continue
			case sig == syscall.SIGUSR1:
				asides.Go(d.dump)
				continue
			case sig == syscall.SIGUSR2:
				asides.Go(d.reopenLogs)
				continue
			}
			end(sig)
			end = func(sig os.Signal) {
				d.log.Info("stopping at once", "signal", sig.String())
				d.Kill()
			}
		}
	}
}

// deploysOnHangup tells a request to deploy from the end of the terminal: a
// supervisor that was started without a controlling terminal gets SIGHUP for
// one reason only; with one, the terminal is gone if it cannot be opened.
func deploysOnHangup(startedWithTerminal bool, hasTerminal func() bool) bool {
	return !startedWithTerminal || hasTerminal()
}

// hasTerminal reports whether this process has a controlling terminal
// (tty(4)).
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
