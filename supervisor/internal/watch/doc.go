// Package watch tells when files below some folders have changed.
//
//	inotify ──► events ──► what is ignored is left out ──► quiet for a moment ──► changed
//
// # Invariants
//
//  1. A burst of changes, as an editor or a checkout makes it, is told once, when
//     it is over.
//  2. Folders that appear are watched too, and what is in them by then is told.
//  3. Events that the kernel dropped count as a change.
package watch
