package cluster

import (
	"fmt"
	"testing"
)

func TestThreeNodesFormAndEveryNodeServesEveryWrite(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		for i, id := range s.ids {
			key, value := fmt.Sprint("k", i), fmt.Sprint("v", i)
			index := s.mustSet(s.nodes[id], key, value)
			for _, other := range s.ids {
				s.mustRead(s.nodes[other], key, value, index, false)
				s.mustRead(s.nodes[other], key, value, 0, true)
			}
		}
		s.converge()
	})
}
