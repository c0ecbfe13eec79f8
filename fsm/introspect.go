package fsm

import (
	"context"

	"github.com/holdfastdb/holdfast/session"
)

// Introspect answers for several tokens, those that are not live after one
// barrier for all of them.
func (s *Sessions) Introspect(ctx context.Context, q session.Introspect) (session.Introspected, error) {
	if len(q.Tokens) > session.MaxIntrospect {
		return session.Introspected{}, session.ErrInvalidRequest.With("%d tokens are too many for one call: the limit is %d", len(q.Tokens), session.MaxIntrospect)
	}
	now, err := s.admit(ctx, q.Consistency)
	if err != nil {
		return session.Introspected{}, err
	}
	all := session.Introspected{Results: make([]session.Introspection, len(q.Tokens)), Now: now, Index: s.machine.index()}
	confirmed := q.Consistency.Strong
	for i, token := range q.Tokens {
		if token == nil {
			continue
		}
		hash := token.Hash()
		v, is, err := s.lookup(token.ID, &hash, now)
		if err == nil && is != found && !confirmed {
			// One barrier, and it holds for all that follow.
			if now, err = s.admit(ctx, session.Consistency{Strong: true}); err != nil {
				return session.Introspected{}, err
			}
			confirmed, all.Now = true, now
			v, is, err = s.lookup(token.ID, &hash, now)
		}
		if err == nil && (is == ended || is == reused) {
			// These need more than a barrier.
			var ok bool
			if v, ok, err = s.find(ctx, token.ID, &hash, session.Consistency{Strong: true}); ok {
				is = found
			}
		}
		if err != nil {
			return session.Introspected{}, err
		}
		if is != found {
			continue
		}
		if q.Touch {
			s.touch(&v, session.Client{}, true, false)
		}
		all.Results[i] = session.Introspection{Active: true, Session: v.Session}
	}
	return all, nil
}
