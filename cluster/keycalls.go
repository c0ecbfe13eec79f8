package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/holdfastdb/holdfast/cluster/pki"
	"github.com/holdfastdb/holdfast/cluster/wire"
)

// RotateKey makes a step of a rotation on every member, through whichever node
// is the leader. given is the key to install; nil draws one, or goes on with that
// of a rotation under way. Errors that wrap ErrImpossible changed nothing; others
// are those of Propose. A step that was made before is done.
func (n *Node) RotateKey(ctx context.Context, step string, given *pki.Key) (KeyStep, error) {
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	for {
		reign := n.reign.current()
		k, err := n.rotateOnce(ctx, reign, step, given)
		if !errors.Is(err, errNotExecuted) {
			return k, err
		}
		if err := pause(ctx, reign, retryPause); err != nil {
			return k, ErrNoLeader.because(err)
		}
	}
}

func (n *Node) rotateOnce(ctx, reign context.Context, step string, given *pki.Key) (KeyStep, error) {
	if err := n.awaitLeader(ctx, reign); err != nil {
		return KeyStep{}, proposeError(err, false)
	}
	if n.Leading() {
		return n.leadKeyStep(ctx, step, given)
	}
	leader, ok := n.Leader()
	if !ok || leader == n.cfg.NodeID {
		return KeyStep{}, errNotExecuted
	}
	body := append([]byte{stepLead, byte(len(step))}, step...)
	if given != nil {
		body = append(body, given[:]...)
	}
	raw, err := n.call(ctx, leader, methodKeys, body)
	if errors.Is(err, errNotExecuted) || errors.Is(err, wire.ErrUnknown) {
		return KeyStep{}, errNotExecuted // or executed, which does no harm
	}
	if err != nil {
		return KeyStep{}, err
	}
	var a keyStepAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return KeyStep{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if a.Refused != "" {
		return KeyStep{}, &travelled{kind: ErrImpossible, text: a.Refused}
	}
	return a.Made, nil
}

// keyStepAnswer is what the leader answers another node.
type keyStepAnswer struct {
	Made KeyStep `json:"made"`
	// Refused is why nothing was done, empty if it was.
	Refused string `json:"refused,omitempty"`
}

// callKeyStep makes one step on one member, which may be this one.
func (n *Node) callKeyStep(ctx context.Context, id string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.scaled(keyStepTimeout))
	defer cancel()
	if id == n.cfg.NodeID {
		return n.serveKeys(ctx, id, body)
	}
	for {
		answer, err := n.call(ctx, id, methodKeys, body)
		// The step itself drops the connection, if that was made under the old key.
		if !errors.Is(err, wire.ErrUnknown) || pause(ctx, n.ctx, retryPause) != nil {
			return answer, err
		}
	}
}

// serveKeys makes a step for another node: one byte that says which, and then the
// key itself, its name, or the step that this leader is to coordinate.
func (n *Node) serveKeys(ctx context.Context, from string, body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, errMalformed
	}
	step, rest := body[0], body[1:]
	switch step {
	case stepInstall:
		if len(rest) != pki.KeyBytes {
			return nil, errMalformed
		}
		return nil, n.installKey(pki.Key(rest))
	case stepUse:
		return nil, n.preferKey(string(rest))
	case stepRemove:
		return nil, n.keepKey(string(rest))
	case stepGive:
		return n.giveKey(from, string(rest))
	case stepLead:
		return n.serveLeadKeyStep(ctx, rest)
	default:
		return nil, fmt.Errorf("unknown step %d", step)
	}
}

// giveKey tells a member a key that this node has and it lacks.
func (n *Node) giveKey(to, name string) ([]byte, error) {
	if !slices.ContainsFunc(n.configuration().Servers, func(s raft.Server) bool { return string(s.ID) == to }) {
		return nil, fmt.Errorf("%s is no member of the cluster", to)
	}
	key, ok := n.keyNamed(name)
	if !ok {
		return nil, fmt.Errorf("this node lacks key %s", name)
	}
	return key[:], nil
}

func (n *Node) serveLeadKeyStep(ctx context.Context, body []byte) ([]byte, error) {
	if len(body) == 0 || len(body) < 1+int(body[0]) {
		return nil, errMalformed
	}
	step, rest := string(body[1:1+body[0]]), body[1+body[0]:]
	var given *pki.Key
	switch len(rest) {
	case 0:
	case pki.KeyBytes:
		given = (*pki.Key)(rest)
	default:
		return nil, errMalformed
	}
	made, err := n.leadKeyStep(ctx, step, given)
	if errors.Is(err, ErrImpossible) {
		return json.Marshal(keyStepAnswer{Refused: err.Error()})
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(keyStepAnswer{Made: made})
}
