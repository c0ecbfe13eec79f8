package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/raft"
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
	q := askBody{applied: 1, hashIndex: 2, hash: 3, wantsVote: true, level: 7, store: 9}
	if back, err := decodeAsk(q.encode()); err != nil || back != q {
		t.Errorf("%+v, %v", back, err)
	}
	if old, err := decodeAsk(q.encode()[:askSize]); err != nil || old.level != firstLevel || !old.wantsVote {
		t.Errorf("of a release without levels: %+v, %v", old, err)
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
		if r, err := decodeReport(b, "n1"); err == nil && r.ID != "n1" {
			t.Errorf("a report of %q", r.ID)
		}
	})
}

// Whatever another node sends is answered, and brings nothing down.
func FuzzServe(f *testing.F) {
	f.Add(methodPropose, appendCommands(nil, [][]byte{[]byte("r1 set k v")}))
	f.Add(methodAsk, askBody{applied: 1}.encode())
	f.Add(methodConfirm, []byte("\x00\x00\x00\x00\x00\x00\x00\x01n2"))
	f.Add(methodForm, raft.EncodeConfiguration(bootstrapConfiguration([]string{"n1", "n2"})))
	for method := range uint8(9) {
		f.Add(method, []byte{1})
	}
	n, err := Open(Config{
		NodeID: "n1", DataDir: f.TempDir(), Network: newMemNet().Node("n1"), Peers: &memPeers{ids: []string{"n1"}},
		Logs: raft.NewInmemStore(), Stable: raft.NewInmemStore(),
	}, openTestMachine(new(disk)))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := n.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, method uint8, body []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if answer, err := n.serve(ctx, "n2", method, body); err != nil || len(answer) == 0 {
			t.Errorf("method %d is answered with %q, %v", method, answer, err)
		}
	})
}

// Only a greeting of no cluster or of ours lets anything through.
func FuzzGreeting(f *testing.F) {
	f.Add([]byte("HFR1\x00\x00\x00\x00\x00\x00\x00\x05rest"))
	f.Add([]byte("HFR1\x00\x00\x00\x00\x00\x00\x00\x06rest"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &stream{cluster: func() uint64 { return 5 }, foreign: func(string, uint64) {}}
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			_, _ = far.Write(b)
			_ = far.Close()
		}()
		c := &accepted{Conn: near, stream: s}
		rest, err := io.ReadAll(c)
		if err != nil || len(b) == 0 {
			return
		}
		if len(b) < preambleSize || string(b[:len(preambleMagic)]) != preambleMagic || !bytes.Equal(rest, b[preambleSize:]) {
			t.Errorf("%q was let through as %q", b, rest)
		}
		if theirs := binary.BigEndian.Uint64(b[len(preambleMagic):]); theirs != 0 && theirs != 5 {
			t.Errorf("cluster %d was let through", theirs)
		}
	})
}
