package main

import (
	"context"
	"errors"
	"strings"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/cluster/pki"
	"github.com/holdfastdb/holdfast/fsm"
	"github.com/holdfastdb/holdfast/session"
)

// RotateKey makes a step of a cluster key rotation.
func (v clusterView) RotateKey(ctx context.Context, step, key string) (api.KeyStep, error) {
	var given *pki.Key
	if key != "" {
		keys, err := pki.ReadKeys(strings.NewReader(key))
		if err != nil || len(keys) != 1 {
			return api.KeyStep{}, session.ErrInvalidRequest.With("key must be one cluster key of %d hex digits", 2*pki.KeyBytes)
		}
		given = &keys[0]
	}
	made, err := v.node.RotateKey(ctx, step, given)
	if errors.Is(err, cluster.ErrImpossible) {
		return api.KeyStep{}, session.ErrChangeRefused.With("%v", err)
	}
	if err != nil {
		return api.KeyStep{}, fsm.AsSession(err)
	}
	answer := api.KeyStep{Step: made.Step, Key: made.Key, Done: made.Done, Missing: make([]api.KeyMissing, 0, len(made.Missing))}
	for _, m := range made.Missing {
		answer.Missing = append(answer.Missing, api.KeyMissing{ID: m.ID, Reason: m.Reason})
	}
	return answer, nil
}
