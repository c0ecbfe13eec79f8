package cluster

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func newTestGuard(t *testing.T, n *memNet, id string, cluster uint64, foreign func(string, uint64)) *guard {
	t.Helper()
	s, err := newStream(id, n.Node(id), func() uint64 { return cluster }, foreign)
	if err != nil {
		t.Fatal(err)
	}
	owned := new(tasks)
	g := newGuard(s, time.Second, newRaftLogger(Config{}.withDefaults().Logger), owned)
	t.Cleanup(func() {
		if err := g.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		s.handled.Wait()
		owned.close()
		owned.wait()
	})
	return g
}

// Without RequestPreVote the library drops pre-vote with one line in its log.
func TestTheGuardedTransportKeepsPreVote(t *testing.T) {
	var transport raft.Transport = newTestGuard(t, newMemNet(), "a", 0, nil)
	if _, ok := transport.(raft.WithPreVote); !ok {
		t.Error("pre-vote is lost")
	}
	if transport.LocalAddr() != "a" {
		t.Errorf("the address is %q", transport.LocalAddr())
	}
	if c := (Config{NodeID: "a"}); c.withDefaults().raftConfig(nil).PreVoteDisabled {
		t.Error("pre-vote is off")
	}
}

func TestOnlyAHarmlessHeartbeatTakesTheFastPath(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		follower := s.others(s.leader().id)[0].node
		g := follower.guard.Load()
		term := follower.raft.Load().CurrentTerm()
		for _, c := range []struct {
			name string
			cmd  any
			want bool
		}{
			{"current term", &raft.AppendEntriesRequest{Term: term}, true},
			{"later term", &raft.AppendEntriesRequest{Term: term + 1}, false},
			{"earlier term", &raft.AppendEntriesRequest{Term: term - 1}, false},
			{"no heartbeat", &raft.RequestVoteRequest{Term: term}, false},
		} {
			if got := g.harmless(raft.RPC{Command: c.cmd}); got != c.want {
				t.Errorf("%s: %v", c.name, got)
			}
		}
		leader := s.leader().node
		if leader.guard.Load().harmless(raft.RPC{Command: &raft.AppendEntriesRequest{Term: term}}) {
			t.Error("a leader took the fast path")
		}
	})
}

func TestNoRaftMessagePassesBetweenTwoClusters(t *testing.T) {
	n := newMemNet()
	refused := make(chan uint64, 1)
	a := newTestGuard(t, n, "a", 1, nil)
	newTestGuard(t, n, "b", 2, func(_ string, cluster uint64) { refused <- cluster })
	err := a.RequestVote("b", "b", &raft.RequestVoteRequest{Term: 1}, &raft.RequestVoteResponse{})
	if err == nil {
		t.Error("a vote was answered")
	}
	if got := <-refused; got != 1 {
		t.Errorf("refused %d", got)
	}
}

func TestANodeWithoutAClusterMayTalkToOne(t *testing.T) {
	n := newMemNet()
	a := newTestGuard(t, n, "a", 0, nil)
	b := newTestGuard(t, n, "b", 2, func(string, uint64) { t.Error("refused") })
	go func() {
		rpc := <-b.Consumer()
		rpc.Respond(&raft.RequestVoteResponse{Term: 7}, nil)
	}()
	var answer raft.RequestVoteResponse
	if err := a.RequestVote("b", "b", &raft.RequestVoteRequest{Term: 1}, &answer); err != nil || answer.Term != 7 {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestAStrangerOnTheRaftPortIsDropped(t *testing.T) {
	n := newMemNet()
	newTestGuard(t, n, "b", 2, nil)
	conn, err := n.Node("x").Dial(t.Context(), "b", raftProtocol)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n"); err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.ErrNoProgress) {
			t.Error("it was answered")
		}
	}
}
