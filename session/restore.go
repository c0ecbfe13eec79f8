package session

import "bytes"

// Restored returns a session that is alive with the data and the label that an
// archive holds of it, and whether anything differs. Version never goes back: a
// client that holds the ETag of the data before must not take these for those.
// Secrets, timeouts and activity stay as they are.
func (s Session) Restored(from *Session, at Time) (Session, bool) {
	differs := s.Device.Label != from.Device.Label
	s.Device.Label = from.Device.Label
	if bytes.Equal(s.Data, from.Data) {
		return s, differs
	}
	s.Data, s.UpdatedAt = from.Data, at
	s.Version = max(s.Version, from.Version) + 1
	return s, true
}

// Reinstated returns a session of an archive for a cluster that has never had
// one. The archive's clock may have been ahead of this cluster's: nothing of the
// session may lie in the future, or it would live for longer than it was given.
func (s Session) Reinstated(at Time) Session {
	s.CreatedAt, s.UpdatedAt = min(s.CreatedAt, at), min(s.UpdatedAt, at)
	s.LastActiveAt, s.SecretSetAt, s.StrangeAt = min(s.LastActiveAt, at), min(s.SecretSetAt, at), min(s.StrangeAt, at)
	s.AbsoluteExpiresAt = min(s.AbsoluteExpiresAt, s.CreatedAt.Add(MaxAbsolute))
	return s.Settled()
}
