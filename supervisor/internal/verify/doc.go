// Package verify lets a sceptic see the promises kept on a machine of their
// own: it starts a throwaway site, puts `app load` on it twice, reloads it the
// first time and kills its worker with SIGKILL the second, and tells what
// clients noticed.
//
//	verify ── starts ──► supervisor run ── starts ──► app serve
//	   │                      ▲                          ▲
//	   ├── reload ────────────┘                          │ HTTP, WebSockets
//	   ├── kill -9 ──────────────────────────────────────┤
//	   └── starts ──► app load --json ───────────────────┘
//
// # Invariants
//
//  1. Everything lives in one temporary folder and on one loopback port that
//     the kernel chose; afterwards neither is there.
//  2. Every process it starts has ended when Run returns, also when its
//     context ends early.
package verify
