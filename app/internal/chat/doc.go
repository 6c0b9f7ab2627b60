// Package chat is the domain: rooms, their logs, who is there, and what a
// connection still has to be told. It imports the standard library and the
// wire definitions only; stores and buses are interfaces that adapters named
// after their technology implement.
package chat
