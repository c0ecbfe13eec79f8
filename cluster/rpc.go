package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// Methods of the peer RPC. Append-only: a number keeps its meaning for ever.
const (
	methodPropose uint8 = 1  // a batch of commands, to the leader
	methodAsk     uint8 = 2  // a proof of freshness, from the leader
	methodConfirm uint8 = 3  // "still term T, leader L?", to a voter
	methodWall    uint8 = 4  // the wall clock
	methodStatus  uint8 = 5  // a node's report about itself
	methodJoin    uint8 = 6  // a node with an empty store asks to be added
	methodForm    uint8 = 7  // the configuration of a new cluster
	methodApplied uint8 = 8  // answers once an index is applied
	methodChange  uint8 = 9  // a change of the membership, to the leader
	methodKeys    uint8 = 10 // a step of a cluster key rotation
	methodDrain   uint8 = 11 // a node is to drain and end
	methodVote    uint8 = 13 // whether a node may be given a vote
)

// Every answer begins with one of these.
const (
	answerOK        byte = 0
	answerNotLeader byte = 1 // not executed
	answerRefused   byte = 2 // the rest is the reason, as text
	answerUnknown   byte = 3 // a proposal's outcome is unknown
)

// caller sends one request to a node and waits for its answer. notSent tells an
// error before anything was sent from all others.
type caller interface {
	Call(ctx context.Context, id string, method uint8, body []byte) ([]byte, error)
}

var errMalformed = errors.New("malformed message")

// call makes a request and takes the answer's first byte off.
func (n *Node) call(ctx context.Context, id string, method uint8, body []byte) ([]byte, error) {
	answer, err := n.client.Call(ctx, id, method, body)
	if err != nil {
		if notSent(err) {
			return nil, fmt.Errorf("%w: %w", errNotExecuted, err)
		}
		return nil, err
	}
	if len(answer) == 0 {
		return nil, errMalformed
	}
	switch answer[0] {
	case answerOK:
		return answer[1:], nil
	case answerNotLeader:
		return nil, errNotExecuted
	case answerRefused:
		return nil, fmt.Errorf("%s refused: %s", id, answer[1:])
	default:
		return nil, errAttemptUnknown
	}
}

// serve answers one request of another node, whose id its certificate proved.
func (n *Node) serve(ctx context.Context, from string, method uint8, body []byte) ([]byte, error) {
	answer, err := n.dispatch(ctx, from, method, body)
	switch {
	case err == nil:
		return append([]byte{answerOK}, answer...), nil
	case errors.Is(err, errNotExecuted):
		return []byte{answerNotLeader}, nil
	case errors.Is(err, errAttemptUnknown):
		return []byte{answerUnknown}, nil
	default:
		return append([]byte{answerRefused}, err.Error()...), nil
	}
}

func (n *Node) dispatch(ctx context.Context, from string, method uint8, body []byte) ([]byte, error) {
	switch method {
	case methodPropose:
		commands, err := decodeCommands(body)
		if err != nil {
			return nil, err
		}
		results, err := n.servePropose(ctx, commands)
		if err != nil {
			return nil, err
		}
		return encodeAttempts(results), nil
	case methodAsk:
		q, err := decodeAsk(body)
		if err != nil {
			return nil, err
		}
		a, err := n.serveAsk(ctx, from, q)
		if err != nil {
			return nil, err
		}
		return a.encode(), nil
	case methodConfirm:
		if len(body) < 8 {
			return nil, errMalformed
		}
		if n.serveConfirm(binary.BigEndian.Uint64(body), string(body[8:])) {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	case methodWall:
		return binary.BigEndian.AppendUint64(nil, uint64(n.cfg.Wall().UnixMilli())), nil
	case methodStatus:
		return json.Marshal(n.report())
	case methodJoin:
		return nil, n.serveJoin(ctx, from, decodeLevel(body), decodeStore(body))
	case methodForm:
		return nil, n.serveForm(from, body)
	case methodKeys:
		return n.serveKeys(ctx, from, body)
	case methodApplied:
		return nil, n.serveApplied(ctx, body)
	case methodChange:
		return n.serveChange(ctx, body)
	case methodDrain:
		return nil, n.serveDrain()
	case methodVote:
		return nil, n.serveVote(body)
	default:
		return nil, fmt.Errorf("unknown method %d", method)
	}
}

func (n *Node) callPropose(ctx context.Context, id string, commands [][]byte) ([]attempt, error) {
	size := binary.MaxVarintLen32
	for _, c := range commands {
		size += binary.MaxVarintLen32 + len(c)
	}
	answer, err := n.call(ctx, id, methodPropose, appendCommands(make([]byte, 0, size), commands))
	if err != nil {
		return nil, err
	}
	return decodeAttempts(answer)
}

// encodeAttempts: count, uvarint; then for each its answer byte and, if that is
// answerOK, index, length of the reply (both uvarint) and the reply.
func encodeAttempts(results []attempt) []byte {
	size := binary.MaxVarintLen32
	for _, a := range results {
		size += 2 + 2*binary.MaxVarintLen64 + len(a.reply)
	}
	b := binary.AppendUvarint(make([]byte, 0, size), uint64(len(results)))
	for _, a := range results {
		switch {
		case a.err == nil:
			b = append(b, answerOK)
			b = binary.AppendUvarint(b, a.index)
			b = binary.AppendUvarint(b, uint64(len(a.reply)))
			b = append(b, a.reply...)
		case errors.Is(a.err, errNotExecuted):
			b = append(b, answerNotLeader)
		default:
			b = append(b, answerUnknown)
		}
	}
	return b
}

func decodeAttempts(b []byte) ([]attempt, error) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)-n) {
		return nil, errMalformed
	}
	b = b[n:]
	results := make([]attempt, count)
	for i := range results {
		if len(b) == 0 {
			return nil, errMalformed
		}
		kind := b[0]
		b = b[1:]
		switch kind {
		case answerOK:
			index, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, errMalformed
			}
			b = b[n:]
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return nil, errMalformed
			}
			end := n + int(size)
			results[i] = attempt{index: index, reply: b[n:end:end]}
			b = b[end:]
		case answerNotLeader:
			results[i].err = errNotExecuted
		case answerUnknown:
			results[i].err = errAttemptUnknown
		default:
			return nil, errMalformed
		}
	}
	if len(b) != 0 {
		return nil, errMalformed
	}
	return results, nil
}

// askBody is what a node says about itself with each question.
type askBody struct {
	applied   uint64
	hashIndex uint64
	hash      uint64
	wantsVote bool
	level     uint16 // the highest feature level that it knows
	store     uint64 // of its data directory; 0: it does not say
}

// askSize is that of the first release; the level follows.
const askSize = 3*8 + 1

func (q askBody) encode() []byte {
	b := make([]byte, 0, askSize+2+8)
	for _, v := range []uint64{q.applied, q.hashIndex, q.hash} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	vote := byte(0)
	if q.wantsVote {
		vote = 1
	}
	return appendKnown(append(b, vote), q.level, q.store)
}

// decodeAsk takes longer messages too: a newer node may say more.
func decodeAsk(b []byte) (askBody, error) {
	if len(b) < askSize {
		return askBody{}, errMalformed
	}
	return askBody{
		applied:   binary.BigEndian.Uint64(b),
		hashIndex: binary.BigEndian.Uint64(b[8:]),
		hash:      binary.BigEndian.Uint64(b[16:]),
		wantsVote: b[24] == 1,
		level:     decodeLevel(b[askSize:]),
		store:     decodeStore(b[askSize:]),
	}, nil
}

// Verdicts on the node that asked.
const (
	verdictRemoved  byte = 1 << 0
	verdictDiverged byte = 1 << 1
)

type askAnswer struct {
	proof
	verdict byte
}

const answerSize = 5*8 + 1

func (a askAnswer) encode() []byte {
	b := make([]byte, 0, answerSize)
	for _, v := range []uint64{a.term, a.index, uint64(a.clock), a.last, a.cluster} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return append(b, a.verdict)
}

func decodeAnswer(b []byte) (askAnswer, error) {
	if len(b) < answerSize {
		return askAnswer{}, errMalformed
	}
	u := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	return askAnswer{
		proof:   proof{term: u(0), index: u(1), clock: int64(u(2)), last: u(3), cluster: u(4)},
		verdict: b[40],
	}, nil
}

func (n *Node) callAsk(ctx context.Context, leader string) (proof, error) {
	index, hash := n.machine.Hash()
	_, level := n.machine.Level()
	q := askBody{applied: n.mark.applied(), hashIndex: index, hash: hash, wantsVote: n.wantsVote(), level: level, store: n.store}
	b, err := n.call(ctx, leader, methodAsk, q.encode())
	if err != nil {
		return proof{}, err
	}
	a, err := decodeAnswer(b)
	if err != nil {
		return proof{}, err
	}
	if err := n.obey(leader, a); err != nil {
		n.stop(err)
		return proof{}, err
	}
	return a.proof, nil
}

func (n *Node) callConfirm(ctx context.Context, id string, term uint64) (bool, error) {
	body := append(binary.BigEndian.AppendUint64(nil, term), n.cfg.NodeID...)
	b, err := n.call(ctx, id, methodConfirm, body)
	return err == nil && len(b) == 1 && b[0] == 1, err
}

func (n *Node) callWall(ctx context.Context, id string) (int64, error) {
	b, err := n.call(ctx, id, methodWall, nil)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, errMalformed
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

func (n *Node) callStatus(ctx context.Context, id string) (report, error) {
	b, err := n.call(ctx, id, methodStatus, nil)
	if err != nil {
		return report{}, err
	}
	return decodeReport(b, id)
}

func decodeReport(b []byte, id string) (report, error) {
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return report{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if r.ID != id {
		return report{}, fmt.Errorf("%w: %q answered for %s", errMalformed, r.ID, id)
	}
	return r, nil
}
