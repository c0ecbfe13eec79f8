package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// clusterStatus is what /cluster/status says that rows look at.
type clusterStatus struct {
	Leader  string `json:"leader"`
	Healthy bool   `json:"healthy"`
	Members []struct {
		ID           string `json:"id"`
		State        string `json:"state"`
		AppliedIndex uint64 `json:"applied_index"`
	} `json:"members"`
}

func (a *attack) status(ctx context.Context) (s clusterStatus, err error) {
	got, err := mustAsk(ctx, http.StatusOK, request{node: a.cluster.live()[0], path: "/cluster/status", auth: "Bearer " + a.cluster.operator})
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(got.body), &s); err != nil {
		return s, fmt.Errorf("status: %w", err)
	}
	return s, nil
}

// applied is the highest index that a member has applied.
func (s clusterStatus) applied() (highest uint64) {
	for _, m := range s.Members {
		highest = max(highest, m.AppliedIndex)
	}
	return highest
}
