package api

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/holdfastdb/holdfast/session"
)

// Action is what an operator may do to a member of the cluster.
type Action string

// The actions.
const (
	ActionPromote  Action = "promote"
	ActionDemote   Action = "demote"
	ActionDrain    Action = "drain"
	ActionRemove   Action = "remove"
	ActionTransfer Action = "transfer-leadership"
)

// MembershipChange is what an operator asks for. Node is empty only for a transfer to whom the leader chooses.
type MembershipChange struct {
	Action        Action
	Node          string
	Force, DryRun bool
}

// MembershipEffect is what a change did, or would do, to the failure tolerance: how many more healthy voters may be lost.
// It is negative where there would be no quorum.
type MembershipEffect struct {
	Action                 Action `json:"action"`
	Node                   string `json:"node"`
	Changed                bool   `json:"changed"` // false for a dry run, and where it was so before
	Leader                 string `json:"leader"`
	VotersBefore           int    `json:"voters_before"`
	Voters                 int    `json:"voters"`
	FailureToleranceBefore int    `json:"failure_tolerance_before"`
	FailureTolerance       int    `json:"failure_tolerance"`
}

// changeMember answers POST /cluster/nodes/:id/… and DELETE /cluster/nodes/:id/.
func changeMember(action Action) func(*Server, *call) error {
	return func(s *Server, c *call) error {
		if err := c.operators(); err != nil {
			return err
		}
		return s.changeMembership(c, MembershipChange{Action: action, Node: c.params.ByName("id")})
	}
}

// transferLeadership answers POST /cluster/transfer-leadership/.
func (s *Server) transferLeadership(c *call) error {
	if err := c.operators(); err != nil {
		return err
	}
	change := MembershipChange{Action: ActionTransfer}
	body, err := c.readBody(false)
	if err != nil {
		return err
	}
	if len(body) > 0 {
		err = members(body, func(name string, value json.RawMessage) error {
			if name != "to" {
				return unknownMember(name)
			}
			return text(name, value, &change.Node)
		})
		if err != nil {
			return err
		}
	}
	return s.changeMembership(c, change)
}

func (s *Server) changeMembership(c *call, change MembershipChange) (err error) {
	if change.Force, err = c.flag("force"); err != nil {
		return err
	}
	if change.DryRun, err = c.flag("dry_run"); err != nil {
		return err
	}
	effect, err := s.cluster.Change(&c.ctx, change)
	if err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, effect)
}

// flag reads a query parameter that is true or false; without a value it is true.
func (c *call) flag(name string) (bool, error) {
	value, there, err := c.query(name)
	if err != nil || !there || value == "" {
		return there, err
	}
	yes, err := strconv.ParseBool(value)
	if err != nil {
		return false, session.ErrInvalidRequest.With("the parameter %s must be true or false", name)
	}
	return yes, nil
}
