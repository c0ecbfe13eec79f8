package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/storage"
)

// choices draws well-formed commands from bytes, so that both chance and a
// fuzzer may choose. Exhausted, it chooses the first of everything.
type choices struct {
	left []byte
	seq  [3]uint64 // of each incarnation
}

// chosen draws the choices at random: the same for one seed.
func chosen(seed uint64, n int) *choices {
	chance := rand.New(rand.NewPCG(seed, 1))
	c := &choices{left: make([]byte, n)}
	for i := range c.left {
		c.left[i] = byte(chance.Uint32())
	}
	return c
}

func (c *choices) n(n int) int {
	if len(c.left) == 0 {
		return 0
	}
	b := c.left[0]
	c.left = c.left[1:]
	return int(b) % n
}

func oneOf[T any](c *choices, of ...T) T { return of[c.n(len(of))] }

func (c *choices) id() session.ID           { return session.ID{1, byte(c.n(8)), 15: 1} }
func (c *choices) hash() session.SecretHash { return session.SecretHash{byte(c.n(2))} }
func (c *choices) user() string             { return oneOf(c, "alice", "bob", "") }
func (c *choices) at(now session.Time) session.Time {
	return now.Add(oneOf(c, 0, -time.Millisecond, -time.Second, -10*time.Minute, time.Hour))
}

func (c *choices) actor(now session.Time) *wireActor {
	if c.n(16) == 15 {
		return nil
	}
	a := &wireActor{Service: c.n(2) == 0, IP: oneOf(c, "", "192.0.2.1")}
	if c.n(2) == 1 {
		a.SessionID, a.Hash = c.id(), c.hash()
	}
	if c.n(3) == 2 {
		a.Login = &wireLogin{UserID: oneOf(c, "alice", "bob"), IssuedAt: c.at(now) / 1000 * 1000}
	}
	return a
}

func (c *choices) data() []byte {
	return []byte(oneOf(c, `{}`, `{"n":1}`, `{"n":null,"cart":[1,2]}`, `{"a":{"b":2}}`, `[]`, ``, `{"n":1,"n":2}`))
}

func (c *choices) request(e *envelope, now session.Time) {
	if c.n(4) == 0 {
		return
	}
	i := c.n(len(c.seq))
	c.seq[i]++
	sequence := c.seq[i] - min(c.seq[i]-1, uint64(c.n(3)))
	e.Request = &requestID{Incarnation: uint64(i + 1), Sequence: sequence, Lowest: max(1, sequence-min(sequence, uint64(c.n(5))))}
	e.ProposedAt = c.at(now)
	if c.n(3) == 2 {
		e.Idem = &wireIdem{Scope: [scopeLen]byte{byte(c.n(3))}, Body: [32]byte{byte(c.n(2))}}
	}
}

func (c *choices) command(t tester, now session.Time) []byte {
	e := envelope{Type: commandType(1 + c.n(int(cmdLogout)))}
	var body any
	switch e.Type {
	case cmdTick:
	case cmdSweep:
		body = sweepBody{
			Limit: uint64(c.n(5)), EventMillis: int64(oneOf(c, 1<<30, 60_000, 0)),
			EventCount: uint64(oneOf(c, 1000, 5, 0)), IdempotencyKeys: uint64(oneOf(c, 1000, 2, 0)),
		}
	case cmdTouch:
		b := touchBody{Change: uint8(c.n(3)), GapMillis: 60_000}
		for range c.n(4) {
			b.Touches = append(b.Touches, wireTouch{ID: c.id(), Active: c.at(now), IP: oneOf(c, "", "192.0.2.2"), UserAgent: oneOf(c, "", "x")})
		}
		body = b
	case cmdReuse:
		body = reuseBody{ID: c.id(), Hash: c.hash()}
	default:
		e.Actor = c.actor(now)
		c.request(&e, now)
		body = c.body(e.Type)
	}
	return command(t, e, body)
}

func (c *choices) body(what commandType) any {
	switch what {
	case cmdCreate:
		b := createBody{
			ID: c.id(), Hash: c.hash(), UserID: c.user(), TenantID: oneOf(c, "", "acme"), Data: c.data(),
			IdleMillis: int64(oneOf(c, 60_000, 1000, 3_600_000, 0)), AbsMillis: int64(oneOf(c, 3_600_000, 90_000, 1000)),
			Label: oneOf(c, "", "phone"), MaxPerUser: uint64(c.n(4)), Reject: c.n(2) == 1,
		}
		if c.n(2) == 1 {
			b.Issuer, b.Subject, b.SID, b.Method = "iss", oneOf(c, "", "sub"), oneOf(c, "", "sid"), "pwd"
		}
		if c.n(2) == 1 {
			b.Carry = []string{"cart"}
		}
		return b
	case cmdPatch:
		b := patchBody{Patch: c.data(), IfVersion: uint64(c.n(3))}
		if c.n(2) == 1 {
			b.Target = c.id()
		}
		if c.n(3) == 2 {
			label := oneOf(c, "", "laptop", "\x00")
			b.Label = &label
		}
		return b
	case cmdPatchUser:
		return patchUserBody{UserID: c.user(), Patch: c.data()}
	case cmdRevoke:
		b := revokeBody{}
		if c.n(2) == 1 {
			b.Target = c.id()
		}
		return b
	case cmdRotate:
		return rotateBody{Hash: c.hash(), Sealed: []byte("sealed")}
	case cmdLogout:
		return logoutBody{
			Issuer: "iss", SID: oneOf(c, "", "sid"), Subject: oneOf(c, "sub", ""), UserID: c.user(), KeepMillis: 3_600_000, Token: [32]byte{byte(c.n(4))},
		}
	case cmdRevokeUser:
		return revokeUserBody{UserID: c.user(), KeepCurrent: c.n(2) == 1, KeepMillis: int64(oneOf(c, 3_600_000, 0, 1000))}
	}
	return nil
}

// history is a log of entries of one to four commands at uneven times.
func (c *choices) history(t tester, n int) (entries []logEntry) {
	now := midnight
	entries = append(entries, logEntry{stamp: now})
	for range n {
		now = now.Add(oneOf(c, 0, time.Millisecond, 500*time.Millisecond, 20*time.Second, 7*time.Minute, 25*time.Hour))
		e := logEntry{stamp: now}
		for range 1 + c.n(4) {
			e.commands = append(e.commands, c.command(t, now))
		}
		entries = append(entries, e)
	}
	return entries
}

// replay feeds a machine of its own an existing log, calling between after
// each entry, and returns the hash after each.
func replay(t *testing.T, entries []logEntry, between func(m *member, i int)) (hashes []uint64) {
	t.Helper()
	l := &memLog{t: t, dir: t.TempDir()}
	m := &member{log: l, path: filepath.Join(l.dir, "t.db")}
	m.open()
	defer func() { _ = m.table.Close() }()
	for i, e := range entries {
		l.entries = append(l.entries, e)
		m.catchUp()
		_, hash := m.machine.Hash()
		hashes = append(hashes, hash)
		between(m, i)
		if index, again := m.machine.Hash(); again != hash || index != uint64(i+1) {
			t.Fatalf("entry %d left hash %x, and afterwards it was %x at %d", i+1, hash, again, index)
		}
		if i%50 == 0 || i == len(entries)-1 {
			checkMachine(t, m.machine)
		}
	}
	return hashes
}

func TestOneLogMakesOneStateHoweverItIsReplayed(t *testing.T) {
	for seed := range uint64(4) {
		entries := chosen(seed, 40_000).history(t, 400)
		want := replay(t, entries, func(*member, int) {})
		for name, between := range map[string]func(m *member, i int){
			"flushed now and then": func(m *member, i int) {
				if i%7 == 0 {
					m.flush()
				}
			},
			"flushed and crashed": func(m *member, i int) {
				if i%13 == 0 {
					m.flush()
				}
				if i%29 == 0 {
					m.crash()
				}
			},
			"closed and opened at each of the first entries": func(m *member, i int) {
				if i < 60 {
					m.flush()
					m.crash()
				}
			},
			"handed out twice": func(m *member, i int) {
				for k, e := range m.log.entries {
					if replies := m.machine.Apply(uint64(k+1), 1, int64(e.stamp), e.commands); replies != nil {
						t.Fatal("an entry was applied twice")
					}
				}
			},
			"carried over by an archive": func(m *member, i int) {
				if i%37 != 0 {
					return
				}
				archive := m.exported()
				if err := m.table.Close(); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(m.path); err != nil {
					t.Fatal(err)
				}
				entries := m.log.entries
				m.log.entries = nil
				m.open()
				m.log.entries = entries
				if err := m.machine.Import(bytes.NewReader(archive)); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(fmt.Sprintf("%s, log %d", name, seed), func(t *testing.T) {
				got := replay(t, entries, between)
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("entry %d of %v left hash %x, want %x", i+1, entries[i].stamp, got[i], want[i])
					}
				}
			})
		}
	}
}

// FuzzApply feeds a machine well-formed commands of the fuzzer's choice. Run it
// with -fuzzminimizetime 1x: the fuzzer takes chance in the table for news, and
// would spend its time on making its inputs small.
func FuzzApply(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 3, 7, 250, 19}, 40))
	for seed := range uint64(8) {
		f.Add(chosen(seed, 600).left)
	}
	// One table serves all runs, and never reaches the disk: to open a file takes
	// longer than to fill it.
	table, err := storage.Open(filepath.Join(f.TempDir(), "t.db"), quiet())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = table.Close() })
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := emptied(t, table)
		c := &choices{left: raw}
		for i, e := range c.history(t, min(len(raw)/4, 60)) {
			if e.commands == nil {
				m.Begin(uint64(i+1), 1, int64(e.stamp), testCluster)
				continue
			}
			for _, reply := range m.Apply(uint64(i+1), 1, int64(e.stamp), e.commands) {
				if _, err := decodeReply(reply); err != nil {
					t.Fatal(err)
				}
			}
		}
		checkMachine(t, m)
	})
}

// emptied returns a machine that has applied nothing, over a table of which
// nothing has been flushed.
func emptied(t *testing.T, table *storage.Table) *Machine {
	t.Helper()
	var all storage.Batch
	err := table.Scan([]byte{0}, nil, func(key, _ []byte) bool {
		all.Delete(bytes.Clone(key))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	table.Write(&all)
	table.Advance(1, 1)
	m, err := OpenMachine(table)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
