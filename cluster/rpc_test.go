package cluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareAttempts = cmp.Options{cmp.AllowUnexported(attempt{}), cmpopts.EquateErrors(), cmpopts.EquateEmpty()}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	results := []attempt{{reply: []byte("yes"), index: 1 << 40}, {err: errNotExecuted}, {err: errAttemptUnknown}, {index: 3}}
	got, err := decodeAttempts(encodeAttempts(results))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(results, got, compareAttempts); diff != "" {
		t.Error(diff)
	}
	q := askBody{applied: 1, hashIndex: 2, hash: 3, wantsVote: true}
	if back, err := decodeAsk(q.encode()); err != nil || back != q {
		t.Errorf("%+v, %v", back, err)
	}
	a := askAnswer{proof: proof{term: 1, index: 2, clock: -3, last: 4, cluster: 5}, verdict: verdictDiverged}
	if back, err := decodeAnswer(a.encode()); err != nil || back != a {
		t.Errorf("%+v, %v", back, err)
	}
}

func FuzzPeerMessages(f *testing.F) {
	f.Add(encodeAttempts([]attempt{{reply: []byte("yes"), index: 1}, {err: errNotExecuted}}))
	f.Add(askBody{applied: 1}.encode())
	f.Add(askAnswer{verdict: 1}.encode())
	f.Add(appendCommands(nil, [][]byte{[]byte("a"), {}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if results, err := decodeAttempts(b); err == nil {
			if back, err := decodeAttempts(encodeAttempts(results)); err != nil || cmp.Diff(results, back, compareAttempts) != "" {
				t.Errorf("attempts: %v", err)
			}
		}
		if commands, err := decodeCommands(b); err == nil {
			if back, err := decodeCommands(appendCommands(nil, commands)); err != nil || cmp.Diff(commands, back) != "" {
				t.Errorf("commands: %v", err)
			}
		}
		_, _ = decodeAsk(b)
		_, _ = decodeAnswer(b)
		_, _ = decodeConfiguration(b)
	})
}
