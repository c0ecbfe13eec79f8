// Package fsm is both ends of a command: what is proposed to the log, and what
// happens when the log hands it back.
//
//	api ── Sessions ── envelope ──▶ Log … Log ──▶ Machine ── stage ──▶ storage
//	          ▲                                      │
//	          └────────────── reply ─────────────────┘
//
// Sessions proposes: it checks what can be checked without the log, numbers each
// command, and reads the table of its own node once the Log says that it may.
// Machine applies: it is called with the same entries in the same order on every
// node, and computes the same bytes there. What a command does to one session is
// package session's to say; here are the keys, the indexes, the events, and what
// is remembered so that a repeated command is harmless.
//
// It knows neither who leads nor how commands travel, and must not: the Log is
// declared here, by what is needed of it.
//
// What always holds:
//   - All of an entry is in the table or nothing of it, for every reader.
//   - Time and chance enter with a command. Nothing here asks a clock, but for
//     the tickers of the sweeper and of the touches, which decide only when a
//     command is proposed, never what it does.
//   - Every claim of a command's actor is checked where it is applied.
//   - Nothing is ever an upsert: a command about a session that is gone finds
//     nothing, and changes nothing.
//   - Every change appends its event in the same command.
//   - A session is in the expiry index once, at a time not later than its expiry.
//   - A local read may say yes alone; a no is said after a barrier only.
//   - An impossible state panics. Stopping beats diverging.
package fsm
