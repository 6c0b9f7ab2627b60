// Package sdnotify tells systemd how the supervisor is (sd_notify(3)). Without
// systemd every call does nothing.
//
//	READY=1               its sockets are open, and every program has been tried
//	STATUS=               one line for `systemctl status`
//	WATCHDOG=1            every loop that supervises has answered just now
//	STOPPING=1            it drains
//	EXTEND_TIMEOUT_USEC=  and is not done yet
//	FDSTORE=1             what the next supervisor goes on with ([FDStore])
//
// RELOADING=1 is never said: a lost READY=1 after it would hang the unit for
// ever, and the synchronous ExecReload= shows the same. MAINPID= is neither: PID
// 1 would hold a process that is not its child for lost, and end it without a
// drain; the unit's PIDFile= tells it.
//
// Only the supervisor talks to systemd: workers never see $NOTIFY_SOCKET of the
// unit.
package sdnotify
