package cluster

import (
	"errors"
	"testing"
)

// members makes a status of voters: the letters say h(ealthy), d(own), l(agging),
// r(eader), n(on-voter that is healthy). They are named n1, n2 and so on.
func members(kinds string) *Status {
	s := &Status{Leader: "n1"}
	for i, kind := range kinds {
		m := Member{
			ID: "n" + string(rune('1'+i)), Role: RoleVoter, State: "follower", Configured: true, Voter: true, Healthy: true,
		}
		switch kind {
		case 'd':
			m.State, m.Healthy = stateDown, false
		case 'l':
			m.Voter, m.Healthy, m.Lag = false, false, maxLag+1
		case 'r':
			m.Voter, m.Role = false, RoleReader
		case 'n':
			m.Voter = false
		}
		s.Members = append(s.Members, m)
	}
	return s
}

func TestAChangeSaysWhatItDoesToTheFailureToleranceOrWhyItIsRefused(t *testing.T) {
	for _, c := range []struct {
		name              string
		members           string
		change            Change
		voters, tolerance int
		changed           bool
		err               error
	}{
		{"promote a non-voter", "hhhn", Change{Verb: VerbPromote, ID: "n4"}, 4, 1, true, nil},
		{"promote a voter", "hhh", Change{Verb: VerbPromote, ID: "n2"}, 3, 1, false, nil},
		{"promote one that lags", "hhhl", Change{Verb: VerbPromote, ID: "n4"}, 3, 1, true, ErrImpossible},
		{"promote one that lags, by force", "hhhl", Change{Verb: VerbPromote, ID: "n4", Force: true}, 3, 1, true, ErrImpossible},
		{"promote a reader", "hhhr", Change{Verb: VerbPromote, ID: "n4"}, 3, 1, true, ErrImpossible},
		{"promote a stranger", "hhh", Change{Verb: VerbPromote, ID: "n9"}, 0, 0, true, ErrUnknownMember},
		{"demote one of three", "hhh", Change{Verb: VerbDemote, ID: "n2"}, 2, 0, true, nil},
		{"demote one of two", "hh", Change{Verb: VerbDemote, ID: "n2"}, 1, 0, true, nil},
		{"demote one that is down", "hhd", Change{Verb: VerbDemote, ID: "n3"}, 3, 0, true, ErrImpossible},
		{"demote the last voter", "hn", Change{Verb: VerbDemote, ID: "n1"}, 0, -1, true, ErrImpossible},
		{"remove the one that is down", "hhd", Change{Verb: VerbRemove, ID: "n3"}, 2, 0, true, nil},
		{"remove a healthy one beside one that is down", "hhd", Change{Verb: VerbRemove, ID: "n2"}, 2, -1, true, ErrUnsafe},
		{"the same by force", "hhd", Change{Verb: VerbRemove, ID: "n2", Force: true}, 2, -1, true, nil},
		{"remove the last voter", "h", Change{Verb: VerbRemove, ID: "n1"}, 0, -1, true, ErrImpossible},
		{"remove the last voter by force", "h", Change{Verb: VerbRemove, ID: "n1", Force: true}, 0, -1, true, ErrImpossible},
		{"remove a reader", "hhhr", Change{Verb: VerbRemove, ID: "n4"}, 3, 1, true, nil},
		{"drain one of three", "hhh", Change{Verb: VerbDrain, ID: "n1"}, 3, 0, true, nil},
		{"drain one beside one that is down", "hhd", Change{Verb: VerbDrain, ID: "n1"}, 3, -1, true, ErrUnsafe},
		{"drain one that is down", "hhd", Change{Verb: VerbDrain, ID: "n3"}, 3, 0, true, ErrImpossible},
		{"drain a reader", "hhdr", Change{Verb: VerbDrain, ID: "n4"}, 3, 0, true, nil},
		{"transfer to nobody in particular", "hhh", Change{Verb: VerbTransfer}, 3, 1, true, nil},
		{"transfer to the leader", "hhh", Change{Verb: VerbTransfer, ID: "n1"}, 3, 1, false, nil},
		{"transfer to one that is down", "hhd", Change{Verb: VerbTransfer, ID: "n3"}, 3, 0, true, ErrImpossible},
		{"transfer to one without a vote", "hhn", Change{Verb: VerbTransfer, ID: "n3"}, 2, 0, true, ErrImpossible},
		{"an unknown verb", "hhh", Change{Verb: "praise", ID: "n1"}, 3, 1, true, ErrImpossible},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := members(c.members).plan(c.change)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if e.Voters != c.voters || e.Tolerance != c.tolerance || e.Changed != c.changed {
				t.Errorf("%+v, want %d voters, tolerance %d, changed %v", e, c.voters, c.tolerance, c.changed)
			}
		})
	}
}
