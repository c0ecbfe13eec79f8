package cluster

import (
	"testing"
	"time"
)

// A leader that goes wrong at an entry agrees with everybody until they have
// told of that entry. The first who does must not be outvoted by what the others
// said before.
func TestAComparisonFromBeforeTheDifferenceIsNoVote(t *testing.T) {
	var f followers
	var ours hashes
	voters := []string{"leader", "a", "b"}
	hear := func(id string, index, hash uint64) follower {
		return f.hear(id, askBody{applied: index, hashIndex: index, hash: hash}, index, &ours, time.Hour)
	}
	ours.record(5, 50)
	ours.record(6, 61) // the others hold 60
	hear("a", 5, 50)
	hear("b", 5, 50)

	one := hear("a", 6, 60)
	if one.differs != 6 {
		t.Fatalf("%+v", one)
	}
	if agree, differ := f.split(voters, "leader", one.differs); agree != 1 || differ != 1 {
		t.Errorf("before b has told of it: %d agree, %d differ", agree, differ)
	}
	hear("b", 6, 60)
	if agree, differ := f.split(voters, "leader", one.differs); agree != 1 || differ != 2 {
		t.Errorf("both have told: %d agree, %d differ", agree, differ)
	}

	// Whoever agrees at or after the difference does have a vote.
	ours.record(7, 70)
	hear("b", 7, 70)
	if agree, differ := f.split(voters, "leader", one.differs); agree != 2 || differ != 1 {
		t.Errorf("b agrees later: %d agree, %d differ", agree, differ)
	}
	if again := hear("a", 7, 71); again.differs != 6 || again.compared != 7 {
		t.Errorf("the first difference is forgotten: %+v", again)
	}
	if healed := hear("a", 7, 70); healed.differs != 0 {
		t.Errorf("an archive has made it equal: %+v", healed)
	}
}
