package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// simulated gives a test two connected nodes in a bubble of its own time.
func simulated(t *testing.T, test func(t *testing.T, m *Memory, here, there net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		a, b := m.Node("a"), m.Node("b")
		here, there := connect(t, a, "b", listen(t, b, "test/1"), "test/1")
		test(t, m, here, there)
	})
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v, want %q", got, err, want)
	}
}

func hearNothing(t *testing.T, conn net.Conn, for_ time.Duration) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(for_)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %d bytes, %v", n, err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func TestACutHoldsBytesBackUntilItIsHealed(t *testing.T) {
	simulated(t, func(t *testing.T, m *Memory, here, there net.Conn) {
		m.Cut("a", "b")
		say(t, here, "one")
		say(t, there, "two")
		hearNothing(t, there, time.Hour)
		hearNothing(t, here, time.Hour)
		m.Heal("a", "b")
		hear(t, there, "one")
		hear(t, here, "two")
	})
}

func TestAOneWayCutLeavesTheOtherWayOpen(t *testing.T) {
	simulated(t, func(t *testing.T, m *Memory, here, there net.Conn) {
		m.CutOneWay("a", "b")
		say(t, here, "lost?")
		say(t, there, "still heard")
		hear(t, here, "still heard")
		hearNothing(t, there, time.Minute)
		for _, pair := range [][2]string{{"a", "b"}, {"b", "a"}} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := m.Node(pair[0]).Dial(ctx, pair[1], "test/1")
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s dialled %s: %v", pair[0], pair[1], err)
			}
		}
		m.HealAll()
		hear(t, there, "lost?")
	})
}

func TestADialWaitsForAHealedPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		l := listen(t, m.Node("b"), "test/1")
		m.Cut("a", "b")
		time.AfterFunc(3*time.Second, func() { m.Heal("a", "b") })
		began := time.Now()
		here, there := connect(t, m.Node("a"), "b", l, "test/1")
		if waited := time.Since(began); waited != 3*time.Second {
			t.Errorf("waited %s", waited)
		}
		say(t, here, "x")
		hear(t, there, "x")
	})
}

func TestADelayedPathKeepsTheOrder(t *testing.T) {
	simulated(t, func(t *testing.T, m *Memory, here, there net.Conn) {
		m.Delay("a", "b", 200*time.Millisecond)
		began := time.Now()
		say(t, here, "slow")
		m.Delay("a", "b", 0)
		say(t, here, "fast")
		hear(t, there, "slowfast")
		if took := time.Since(began); took != 200*time.Millisecond {
			t.Errorf("took %s", took)
		}
		say(t, there, "back")
		hear(t, here, "back")
		if took := time.Since(began); took != 200*time.Millisecond {
			t.Errorf("the way back took %s", took-200*time.Millisecond)
		}
	})
}

func TestAKilledNodeIsGoneAndComesBackAsAnother(t *testing.T) {
	simulated(t, func(t *testing.T, m *Memory, here, there net.Conn) {
		say(t, there, "bye")
		old := m.Node("b")
		m.Kill("b")
		hear(t, here, "bye")
		if _, err := here.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read from the dead: %v", err)
		}
		if _, err := here.Write([]byte("x")); err == nil {
			t.Error("wrote to the dead")
		}
		if _, err := m.Node("a").Dial(t.Context(), "b", "test/1"); !errors.Is(err, ErrRefused) {
			t.Errorf("dialled the dead: %v", err)
		}
		if _, err := old.Listen("test/1"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the dead listens: %v", err)
		}
		l := listen(t, m.Node("b"), "test/1")
		again, _ := connect(t, m.Node("a"), "b", l, "test/1")
		say(t, again, "x")
	})
}

func TestAKillBehindACutIsNoticedOnlyAfterIt(t *testing.T) {
	simulated(t, func(t *testing.T, m *Memory, here, _ net.Conn) {
		m.Isolate("b")
		m.Kill("b")
		hearNothing(t, here, time.Hour)
		say(t, here, "anybody?")
		m.HealAll()
		if _, err := here.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after healing: %v", err)
		}
	})
}

func TestAFullWindowBlocksTheWriter(t *testing.T) {
	simulated(t, func(t *testing.T, _ *Memory, here, there net.Conn) {
		if err := here.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := here.Write(make([]byte, 2*windowBytes))
		if n != windowBytes || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("wrote %d, %v", n, err)
		}
		if _, err := io.ReadFull(there, make([]byte, windowBytes)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPartitionsSplitAndMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		reach := func(from, to string) bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn, err := m.Node(from).Dial(ctx, to, "test/1")
			if err == nil {
				_ = conn.Close()
			}
			return err == nil
		}
		for _, id := range []string{"a", "b", "c"} {
			listen(t, m.Node(id), "test/1")
		}
		m.Partition([]string{"a", "b"}, []string{"c"})
		if !reach("a", "b") || !reach("b", "a") || reach("a", "c") || reach("c", "b") {
			t.Error("the first partition is not as asked")
		}
		m.Partition([]string{"a"}, []string{"b", "c"})
		if reach("a", "b") || !reach("b", "c") || reach("c", "a") {
			t.Error("the second partition is not as asked")
		}
		m.HealAll()
		if !reach("a", "b") || !reach("c", "a") {
			t.Error("not healed")
		}
		for _, id := range []string{"a", "b", "c"} {
			m.Kill(id)
		}
		synctest.Wait()
	})
}
