// Package session is the domain of Holdfast: what a session is, what a token
// proves, what a merge patch does, when a session ends, and every limit and
// error that the other packages speak of.
//
// It knows no clock, no disk and no network, and imports the standard library
// alone. Time enters as a [Time] of the log's clock, randomness as an
// io.Reader. Whatever it computes is replicated state: the same input gives
// the same bytes in every release, for ever.
//
//	         Patched, Refreshed, Touched, Labelled
//	                ┌───────┐
//	New ──▶ live ───┘       │
//	          ▲             │
//	          └─────────────┘
//	          │ revoked, expired (now ≥ ExpiresAt), evicted
//	          ▼
//	         gone: no transition leads back
package session
