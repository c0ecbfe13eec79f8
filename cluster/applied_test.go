package cluster

import (
	"slices"
	"testing"
	"time"
)

func TestWhoWaitsForAllMembersIsToldWhoHasAppliedAndWhoHasNot(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		through, cut := s.others(leader.id)[0], s.others(leader.id)[1]
		index := s.mustSet(through, "k", "v")
		on, missing, err := through.node.Applied(s.t.Context(), index)
		if err != nil || !slices.Equal(on, s.ids) || len(missing) != 0 {
			t.Fatalf("%v have applied %d, %v have not: %v", on, index, missing, err)
		}
		for _, id := range s.ids {
			s.mustRead(s.nodes[id], "k", "v", 0, false) // on none of them a barrier is needed
		}
		s.isolate(cut.id)
		began := time.Now()
		index = s.mustSet(through, "k", "w")
		on, missing, err = through.node.Applied(s.t.Context(), index)
		if err != nil || len(on) != 2 || !slices.Equal(missing, []string{cut.id}) {
			t.Errorf("with %s cut off %v have applied, %v have not: %v", cut.id, on, missing, err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %s to find out", took)
		}
		// An index that the log has not reached is waited for, for a while.
		if on, missing, err = leader.node.Applied(s.t.Context(), index+1000); err != nil || len(on) != 0 || len(missing) != 3 {
			t.Errorf("beyond the log: %v, %v, %v", on, missing, err)
		}
	})
}
