package fsm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A feature level says which commands a log may hold. The level of a cluster is
// a part of its state and only rises: the leader raises it once every member
// announces a release that knows the next one, and nobody proposes a command of
// a level that the cluster has not reached. So an old and a new release may run
// side by side, and a release is never handed what it would misunderstand.
// Append only: a level keeps its commands for ever.
const (
	// levelFirst is commands 1 to 12. A state that names no level has this one.
	levelFirst = 1
	// levelOperated adds the level itself and restores.
	levelOperated = 2
)

// ErrNewerLevel is returned for a state that a later release has written.
var ErrNewerLevel = errors.New("the data hold what only a later release understands: " +
	"start that release again, a downgrade below the cluster's feature level is not possible")

// level is the first level whose releases know a command.
func (t commandType) level() uint16 {
	if t >= cmdLevel {
		return levelOperated
	}
	return levelFirst
}

// level is the cluster's.
func (m *meta) level() uint16 { return max(m.raised, levelFirst) }

// known refuses a state above what this release understands.
func (m *meta) known() error {
	if m.level() > knownLevel {
		return fmt.Errorf("feature level %d, this release knows %d: %w", m.level(), knownLevel, ErrNewerLevel)
	}
	return nil
}

// Level is the feature level that the cluster has reached as far as this machine
// has applied, and the highest one that this release knows.
func (m *Machine) Level() (reached, known uint16) { return m.place.Load().level, knownLevel }

// raise applies a command that raises the cluster's level.
func (e *entry) raise(env *envelope) reply {
	body := bodyOf(e, env, decodeLevel)
	if body.Level > knownLevel {
		panic(fmt.Sprintf("fsm: entry %d raises the feature level to %d, this release knows %d: upgrade this node",
			e.index, body.Level, knownLevel))
	}
	e.meta.raised = max(e.meta.level(), body.Level)
	return reply{}
}

// raiseTimeout bounds one attempt to raise the level.
const raiseTimeout = 5 * time.Second

// raiseLevel proposes the level that all members know, if that is above the
// cluster's. Two leaders that do so do no harm: a level never falls.
func (s *Sessions) raiseLevel(ctx context.Context) error {
	reached, known := s.machine.Level()
	common := min(s.log.MemberLevel(), known)
	if common <= reached {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, raiseTimeout)
	defer cancel()
	if _, err := s.send(ctx, envelope{Type: cmdLevel}, levelBody{Level: common}); err != nil {
		return fmt.Errorf("raise the feature level to %d: %w", common, err)
	}
	s.cfg.Logger.Info("feature level raised", "from", reached, "to", common)
	return nil
}

// reach is the level that the cluster has reached. A node that has not applied a
// level yet asks, before it says that there is none.
func (s *Sessions) reach(ctx context.Context, level uint16) (reached uint16, err error) {
	if reached, _ = s.machine.Level(); reached >= level {
		return reached, nil
	}
	if _, err = s.log.Read(ctx, 0, true); err != nil {
		return 0, AsSession(err)
	}
	reached, _ = s.machine.Level()
	return reached, nil
}
