package cluster

import (
	"errors"
	"fmt"
)

// Verb is what an operator may do to a member.
type Verb string

// The verbs.
const (
	VerbPromote  Verb = "promote"  // give a vote
	VerbDemote   Verb = "demote"   // take it; the node goes on serving reads
	VerbRemove   Verb = "remove"   // out of the configuration: the node stops
	VerbDrain    Verb = "drain"    // the node finishes its requests and ends; it stays a member
	VerbTransfer Verb = "transfer" // the leadership, to ID or to whom the leader chooses
)

// Change is a change of the membership that an operator asks for.
type Change struct {
	Verb Verb   `json:"verb"`
	ID   string `json:"id"`
	// Force carries out what would lose the quorum.
	Force bool `json:"force"`
	// DryRun only says what it would do.
	DryRun bool `json:"dry_run"`
}

// Effect is what a change does to the failure tolerance: how many more healthy
// voters may be lost. It is negative where there is no quorum any more.
type Effect struct {
	Verb Verb   `json:"verb"`
	ID   string `json:"id"`
	// Changed is false where everything is as it is asked for already, and for a
	// dry run.
	Changed         bool   `json:"changed"`
	VotersBefore    int    `json:"voters_before"`
	Voters          int    `json:"voters"`
	ToleranceBefore int    `json:"tolerance_before"`
	Tolerance       int    `json:"tolerance"`
	Leader          string `json:"leader"`
}

// The reasons for which a change is refused; nothing was changed.
var (
	// ErrUnknownMember: there is no such member.
	ErrUnknownMember = errors.New("no such member")
	// ErrUnsafe: it would lose the quorum, which force allows.
	ErrUnsafe = errors.New("it would lose the quorum")
	// ErrImpossible: it cannot be done as things are, by force neither.
	ErrImpossible = errors.New("it cannot be done")
)

func impossible(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrImpossible, fmt.Sprintf(format, args...))
}

// tally counts a cluster's voters.
type tally struct{ voters, healthy int }

func (t tally) tolerance() int { return t.healthy - (t.voters/2 + 1) }

func (s *Status) tally() (t tally) {
	for _, m := range s.Members {
		if m.Voter {
			t.voters++
			if m.Healthy {
				t.healthy++
			}
		}
	}
	return t
}

func (s *Status) member(id string) (Member, bool) {
	for _, m := range s.Members {
		if m.ID == id && m.Configured {
			return m, true
		}
	}
	return Member{}, false
}

// plan says what a change would do to the cluster as it is, or why it is
// refused. It changes nothing.
func (s *Status) plan(c Change) (Effect, error) {
	before := s.tally()
	e := Effect{
		Verb: c.Verb, ID: c.ID, Changed: true, Leader: s.Leader, VotersBefore: before.voters, ToleranceBefore: before.tolerance(),
	}
	after := before
	m, ok := s.member(c.ID)
	if !ok && !(c.Verb == VerbTransfer && c.ID == "") {
		return e, fmt.Errorf("%w: %q is not in the cluster's configuration", ErrUnknownMember, c.ID)
	}
	var err error
	switch c.Verb {
	case VerbPromote:
		e.Changed = !m.Voter || m.Demoted // a demotion may have stopped half-way
		err = planPromotion(m, &after)
	case VerbDemote:
		e.Changed = m.Voter || !m.Demoted
		err = planDemotion(m, &after)
	case VerbRemove:
		err = planRemoval(m, &after)
	case VerbDrain:
		err = planDrain(m, &after)
	case VerbTransfer:
		e.Changed = m.ID != s.Leader
		err = planTransfer(m, c.ID)
	default:
		err = impossible("unknown verb %q", c.Verb)
	}
	e.Voters, e.Tolerance = after.voters, after.tolerance()
	switch {
	case err != nil:
	case after.voters == 0:
		err = impossible("%s is the last voter: without it there is no cluster", c.ID)
	case e.Tolerance < 0 && (after != before || c.Verb == VerbDrain && m.Voter) && !c.Force:
		err = fmt.Errorf("%w: %d of %d voters would be healthy and %d are needed; force does it all the same",
			ErrUnsafe, after.healthy, after.voters, after.voters/2+1)
	}
	return e, err
}

func planPromotion(m Member, after *tally) error {
	switch {
	case m.Voter:
		return nil
	case m.State == stateDown:
		return impossible("%s does not answer: it must keep up before it is given a vote", m.ID)
	case m.Role == RoleReader:
		return impossible("%s was started with --role %s, which never votes: start it with --role %s", m.ID, RoleReader, RoleVoter)
	case m.Lag > maxLag:
		return impossible("%s lags %d entries behind: promote it once it has caught up", m.ID, m.Lag)
	case !m.Healthy:
		return impossible("%s is not healthy: promote it once it is", m.ID)
	}
	after.voters++
	after.healthy++
	return nil
}

func planDemotion(m Member, after *tally) error {
	if m.State == stateDown {
		return impossible("%s does not answer: it would be given its vote back when it returns; remove it instead", m.ID)
	}
	after.without(m)
	return nil
}

func planRemoval(m Member, after *tally) error {
	after.without(m)
	return nil
}

func planDrain(m Member, after *tally) error {
	if m.State == stateDown {
		return impossible("%s does not answer", m.ID)
	}
	if m.Voter && m.Healthy {
		after.healthy--
	}
	return nil
}

func planTransfer(m Member, to string) error {
	switch {
	case to == "":
		return nil
	case !m.Voter:
		return impossible("%s has no vote", m.ID)
	case !m.Healthy:
		return impossible("%s is not healthy: it does not answer, lags, drains or is not fresh", m.ID)
	}
	return nil
}

// without takes a member out of the count.
func (t *tally) without(m Member) {
	if !m.Voter {
		return
	}
	t.voters--
	if m.Healthy {
		t.healthy--
	}
}
