// Package pm2 reads PM2's ecosystem files and says the same in the supervisor's
// own configuration.
//
//	ecosystem.config.js ─► node ─► JSON ─┐
//	ecosystem.json ──────────────────────┴─► apps ─► supervisor.toml
//
// # Invariants
//
//  1. Every key of every app is in what comes out: as a key, as a comment that
//     says why not and what to do instead, or as a comment that it is not known.
//  2. What comes out is TOML that `supervisor check` reads, whatever was in
//     names, arguments and variables.
//  3. Nothing is started or changed, but what a .js file does itself when node
//     reads it.
package pm2
