// Package install makes the supervisor a service of this machine, or of a user
// of it, and undoes that again.
//
// What it does is a [Plan]: files to be written and commands to be run, decided
// before anything is touched, so that it can be shown instead (--print).
//
// # Invariants
//
//  1. Doing a plan twice changes nothing the second time, and says so.
//  2. A file that a person has changed is never overwritten or removed: settings
//     are written only where there are none, and units carry a mark of ours.
//  3. Undoing removes what doing has made, and never data: messages and
//     recorded programs stay, and where is told.
package install
