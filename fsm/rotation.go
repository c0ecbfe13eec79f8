package fsm

import (
	"context"
	"errors"

	"github.com/holdfastdb/holdfast/session"
)

// rotate draws the next secret of the actor's session, and answers with the one
// that the log has settled on: of all who rotate one token, the first is heard,
// and the others read what it has sealed for them.
func (s *Sessions) rotate(ctx context.Context, c session.Refresh) (session.Refreshed, error) {
	keys := s.sealKeys()
	if len(keys) == 0 {
		return session.Refreshed{}, errors.New("rotate: this node has no key to seal with")
	}
	old := c.Token
	next, err := session.Mint(s.cfg.Rand, 0)
	if err != nil {
		return session.Refreshed{}, err
	}
	sealed, err := session.SealSecret(s.cfg.Rand, keys[0], old.ID, old.Secret, next.Secret)
	if err != nil {
		return session.Refreshed{}, err
	}
	body := rotateBody{Hash: next.Hash(), Sealed: sealed}
	p, err := s.act(ctx, cmdRotate, c.Actor, c.Idempotency, body)
	if err != nil {
		return session.Refreshed{}, err
	}
	view, err := s.view(ctx, &p, c.Actor.Session)
	if err != nil {
		return session.Refreshed{}, err
	}
	token, err := s.successor(&view.Session, old)
	return session.Refreshed{Token: token, View: view}, err
}

// successor is the token that has followed old, nil if none has.
func (s *Sessions) successor(of *session.Session, old session.Token) (*session.Token, error) {
	if of.SecretHash.Matches(old.Secret) {
		return nil, nil
	}
	for _, key := range s.sealKeys() {
		secret, err := session.OpenSecret(key, of.ID, old.Secret, of.Rotation.Sealed)
		if err == nil && of.SecretHash.Matches(secret) {
			return &session.Token{ID: of.ID, Secret: secret}, nil
		}
	}
	if of.Rotation.Former.Matches(old.Secret) && len(of.Rotation.Sealed) > 0 {
		return nil, session.ErrStaleNode.With("this node lacks the cluster key that another has sealed the new token with: ask another node")
	}
	// A repetition that comes when the grace is over.
	return nil, session.ErrSessionInvalid
}

func (s *Sessions) sealKeys() [][]byte {
	if s.cfg.SealKeys == nil {
		return nil
	}
	return s.cfg.SealKeys()
}
