package api

import (
	"testing"

	"github.com/holdfastdb/holdfast/session"
)

func TestMembershipIsChangedByOperatorsAlone(t *testing.T) {
	n := newNode(t, nil)
	operator := bearer(n.operator)
	for _, c := range []struct {
		method, path string
		body         string
		want         MembershipChange
	}{
		{"POST", "/cluster/nodes/n4/promote", "", MembershipChange{Action: ActionPromote, Node: "n4"}},
		{"POST", "/cluster/nodes/n4/demote/?dry_run=true", "", MembershipChange{Action: ActionDemote, Node: "n4", DryRun: true}},
		{"POST", "/cluster/nodes/n4/drain/?force", "", MembershipChange{Action: ActionDrain, Node: "n4", Force: true}},
		{"DELETE", "/cluster/nodes/n4?force=true", "", MembershipChange{Action: ActionRemove, Node: "n4", Force: true}},
		{"POST", "/cluster/transfer-leadership", "", MembershipChange{Action: ActionTransfer}},
		{"POST", "/cluster/transfer-leadership/", `{"to":"n2"}`, MembershipChange{Action: ActionTransfer, Node: "n2"}},
	} {
		a := n.do(c.method, c.path, c.body, operator).want(200)
		if n.cluster.change != c.want {
			t.Errorf("%s %s asked for %+v, want %+v", c.method, c.path, n.cluster.change, c.want)
		}
		if a.text("action") != string(c.want.Action) {
			t.Errorf("%s %s answers %s", c.method, c.path, a.text("action"))
		}
		n.do(c.method, c.path, c.body, bearer(n.service)).wantCode(403, "forbidden")
		n.do(c.method, c.path, c.body).wantCode(401, "key_invalid")
	}
	n.do("POST", "/cluster/nodes/n4/promote?force=perhaps", "", operator).wantCode(400, "invalid_request")
	n.do("POST", "/cluster/transfer-leadership", `{"from":"n2"}`, operator).wantCode(400, "invalid_request")
	n.do("POST", "/cluster/transfer-leadership", `{"to":7}`, operator).wantCode(400, "invalid_request")
	for code, refusal := range map[string]*session.Error{
		"quorum_at_risk": session.ErrQuorumAtRisk, "change_refused": session.ErrChangeRefused,
	} {
		n.cluster.refuse = refusal
		n.do("DELETE", "/cluster/nodes/n4", "", operator).wantCode(409, code)
	}
	n.cluster.refuse = session.ErrNotFound
	n.do("DELETE", "/cluster/nodes/n9", "", operator).wantCode(404, "not_found")
}
