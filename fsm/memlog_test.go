package fsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/storage"
)

// midnight is when every test's log begins.
const midnight = session.Time(1_767_225_600_000) // 2026-01-01T00:00:00Z

// testCluster is the name of every test's cluster.
const testCluster = 0xc1

// tester is what a test and one run of a property have in common.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}

// memLog is a replicated log in memory. It hands its entries to one or more
// members, of which the first leads, and stamps them by a clock that stands
// still until a test moves it.
type memLog struct {
	t   tester
	dir string

	mu      sync.Mutex // also makes of all callers the one goroutine that drives each machine
	entries []logEntry
	members []*member
	clock   func() session.Time
	now     session.Time // of clock, where no other is set

	// What goes wrong.
	leaderless  bool
	memberLevel uint16 // 0: a member is silent
	answersLost int    // so many commands are proposed anew, because their first answer was lost

	// What a test may count.
	proposals int
	barriers  int
	onBarrier func() // called before a barrier, without the lock
}

type logEntry struct {
	stamp    session.Time
	commands [][]byte // nil: a term's opening entry
}

// member is one node: a table, its machine, and the log as this node sees it.
type member struct {
	*Sessions
	log     *memLog
	path    string
	table   *storage.Table
	machine *Machine

	behind  bool          // entries reach it with a barrier only
	stale   bool          // a local read finds it not fresh
	newborn bool          // it has never been fresh: it knows no time
	ahead   time.Duration // by which its bound of the log's clock is too high
}

// newTestLog starts members whose clean-up closes them and checks what they
// hold.
func newTestLog(t testing.TB, members int, configure ...func(*Config)) *memLog {
	t.Helper()
	l := newLog(t, t.TempDir(), members, configure...)
	t.Cleanup(l.close)
	return l
}

func newLog(t tester, dir string, members int, configure ...func(*Config)) *memLog {
	t.Helper()
	l := &memLog{t: t, dir: dir, now: midnight, entries: []logEntry{{stamp: midnight}}}
	l.clock = func() session.Time { return l.now }
	chance := testRand(1)
	for i := range members {
		m := &member{log: l, path: filepath.Join(dir, fmt.Sprintf("n%d.db", i+1))}
		m.open()
		l.members = append(l.members, m)
		cfg := Config{
			Policy: session.DefaultPolicy(), LoginLifetime: time.Hour, SweepInterval: 1000 * time.Hour, Rand: chance,
			SealKeys: func() [][]byte { return [][]byte{make([]byte, session.SealKeyLen)} },
		}
		cfg.Policy.ProtectedKeys = []string{"plan"}
		for _, f := range configure {
			f(&cfg)
		}
		var err error
		if m.Sessions, err = Open(cfg, m, m.machine); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// newTestMember is the only member of a log of its own.
func newTestMember(t testing.TB, configure ...func(*Config)) *member {
	t.Helper()
	return newTestLog(t, 1, configure...).members[0]
}

// testRand draws the same bytes in every run.
func testRand(seed byte) io.Reader { return &lockedRand{src: rand.NewChaCha8([32]byte{seed})} }

type lockedRand struct {
	mu  sync.Mutex
	src *rand.ChaCha8
}

func (r *lockedRand) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.src.Read(p)
}

// close ends all members, and checks that each holds a sound state, and that
// all hold the same.
func (l *memLog) close() {
	l.t.Helper()
	for _, m := range l.members {
		if err := m.Close(); err != nil {
			l.t.Errorf("close the service: %v", err)
		}
	}
	l.check()
	for _, m := range l.members {
		if err := m.table.Close(); err != nil {
			l.t.Errorf("close the table: %v", err)
		}
	}
}

// check hands every member what it lacks and checks the invariants.
func (l *memLog) check() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range l.members {
		m.catchUp()
		checkMachine(l.t, m.machine)
		index, hash := m.machine.Hash()
		if i1, h1 := l.members[0].machine.Hash(); i1 != index || h1 != hash {
			l.t.Errorf("member %d has hash %x at %d, the leader %x at %d", i+1, hash, index, h1, i1)
		}
	}
}

// set changes what goes wrong, where goroutines look on.
func (l *memLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// advance moves the log's clock.
func (l *memLog) advance(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// commit appends one entry, hands it out, and returns the leader's replies.
// The caller holds the lock.
func (l *memLog) commit(commands ...[]byte) [][]byte {
	stamp := max(l.clock(), l.entries[len(l.entries)-1].stamp)
	l.entries = append(l.entries, logEntry{stamp: stamp, commands: commands})
	var replies [][]byte
	for i, m := range l.members {
		switch {
		case i == 0:
			replies = m.catchUp()
		case !m.behind:
			m.catchUp()
		}
	}
	return replies
}

// entry commits commands as one entry and returns the replies.
func (l *memLog) entry(commands ...[]byte) []reply {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var replies []reply
	for _, raw := range l.commit(commands...) {
		p, err := decodeReply(raw)
		if err != nil {
			l.t.Fatal(err)
		}
		replies = append(replies, p)
	}
	return replies
}

// tick commits an entry that only moves the log's time.
func (l *memLog) tick() {
	l.t.Helper()
	l.entry(command(l.t, envelope{Type: cmdTick}, nil))
}

func command(t tester, e envelope, body any) []byte {
	t.Helper()
	raw, err := encodeCommand(e, body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// quiet options flush when they are told to, and never else.
func quiet() storage.Options {
	return storage.Options{FlushInterval: time.Hour, FlushBytes: 1 << 40, InitialMmapSize: 1 << 20}
}

func (m *member) open() {
	m.log.t.Helper()
	var err error
	m.table, err = storage.Open(m.path, quiet())
	if err != nil {
		m.log.t.Fatal(err)
	}
	if m.machine, err = OpenMachine(m.table); err != nil {
		m.log.t.Fatal(err)
	}
	m.catchUp()
}

// crash loses all that has not been flushed, and starts again from the file.
// Whoever holds the service goes on with the old machine: restart it first.
func (m *member) crash() {
	m.log.t.Helper()
	file, err := os.ReadFile(m.path)
	if err != nil {
		m.log.t.Fatal(err)
	}
	if err := m.table.Close(); err != nil {
		m.log.t.Fatal(err)
	}
	if err := os.WriteFile(m.path, file, 0o600); err != nil {
		m.log.t.Fatal(err)
	}
	m.open()
}

// flush makes durable what the member has.
func (m *member) flush() {
	m.log.t.Helper()
	if err := m.machine.Flush(0, 0); err != nil {
		m.log.t.Fatal(err)
	}
}

// catchUp hands over what the machine lacks, and returns the replies of the
// last entry. The caller holds the log's lock.
func (m *member) catchUp() (replies [][]byte) {
	at, _, _ := m.machine.Applied()
	for i := int(at); i < len(m.log.entries); i++ {
		e := m.log.entries[i]
		if e.commands == nil {
			m.machine.Begin(uint64(i+1), 1, int64(e.stamp), testCluster)
			continue
		}
		replies = m.machine.Apply(uint64(i+1), 1, int64(e.stamp), e.commands)
	}
	return replies
}

// unavailable is why the log gives no answer.
type unavailable session.Code

func (u unavailable) Error() string       { return "the log is not available: " + string(u) }
func (u unavailable) Unavailable() string { return string(u) }

// Propose implements Log.
func (m *member) Propose(ctx context.Context, command []byte) (reply []byte, index uint64, err error) {
	l := m.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaderless {
		return nil, 0, unavailable(session.CodeNoLeader)
	}
	l.proposals++
	if l.answersLost > 0 {
		l.answersLost--
		l.commit(command)
	}
	replies := l.commit(command)
	return replies[0], uint64(len(l.entries)), nil
}

// Read implements Log.
func (m *member) Read(ctx context.Context, atLeast uint64, strong bool) (now int64, err error) {
	l := m.log
	if hook := l.onBarrier; strong && hook != nil {
		hook()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch at, _, _ := m.machine.Applied(); {
	case strong && l.leaderless:
		return 0, unavailable(session.CodeNoLeader)
	case (m.stale || m.newborn || at < atLeast) && l.leaderless:
		return 0, unavailable(session.CodeStaleNode)
	case strong, m.stale, m.newborn, at < atLeast:
		l.barriers++
		m.newborn = false
		m.catchUp()
	}
	return m.bound(), nil
}

// Now implements Log.
func (m *member) Now() int64 {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	if m.newborn {
		return 0
	}
	return m.bound()
}

// bound is this node's upper bound of the log's clock. The caller holds the lock.
func (m *member) bound() int64 { return int64(m.log.clock().Add(m.ahead)) }

// Leading implements Log.
// MemberLevel is what the test says.
func (m *member) MemberLevel() uint16 { return m.log.memberLevel }

func (m *member) Leading() bool {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	return !m.log.leaderless && m.log.members[0] == m
}

// counted is how many commands have been proposed.
func (l *memLog) counted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proposals
}

// Who acts.

func service() session.Actor { return session.Actor{Service: true} }

func holder(token session.Token) session.Actor {
	p := token.Proof()
	return session.Actor{Session: &p}
}

func backendOf(token session.Token) session.Actor {
	a := holder(token)
	a.Service = true
	return a
}

func loginOf(user string, at session.Time) session.Actor {
	return session.Actor{Login: &session.Login{UserID: user, IssuedAt: at / 1000 * 1000}}
}

func idem(key, body byte) *session.Idempotency {
	return &session.Idempotency{Scope: [32]byte{key}, Body: [32]byte{body}}
}

// login makes a session of a user on a service's word.
func (m *member) login(user, data string) session.Created {
	m.log.t.Helper()
	return m.created(session.Create{Actor: service(), UserID: user, Data: []byte(data)})
}

func (m *member) created(c session.Create) session.Created {
	m.log.t.Helper()
	created, err := m.Create(context.Background(), c)
	if err != nil {
		m.log.t.Fatalf("create: %v", err)
	}
	return created
}

// get reads a session by its token as the ordinary request does.
func (m *member) get(token session.Token) (session.View, error) {
	return m.Get(context.Background(), token, session.Client{}, false, session.Consistency{})
}

// mustLive fails the test unless the token is good.
func (m *member) mustLive(token session.Token) session.View {
	m.log.t.Helper()
	v, err := m.get(token)
	if err != nil {
		m.log.t.Fatalf("get %v: %v", token, err)
	}
	return v
}

// mustDead fails the test unless the token is refused.
func (m *member) mustDead(token session.Token) {
	m.log.t.Helper()
	_, err := m.get(token)
	wantCode(m.log.t, err, session.CodeSessionInvalid)
}

// wantCode fails the test unless err has the code; "" is no error.
func wantCode(t tester, err error, want session.Code) {
	t.Helper()
	if got := session.CodeOf(err); got != want {
		t.Fatalf("got %q (%v), want %q", got, err, want)
	}
	if _, ok := errors.AsType[*session.Error](err); err != nil && !ok {
		t.Fatalf("%v is no error of the domain", err)
	}
}

// events returns all that the machine keeps.
func (m *member) events() []session.Event {
	m.log.t.Helper()
	var all []session.Event
	err := m.table.Scan([]byte{prefixEvent}, after([]byte{prefixEvent}), func(key, value []byte) bool {
		e, err := decodeEvent(parseEventKey(key), value)
		if err != nil {
			m.log.t.Fatal(err)
		}
		all = append(all, e)
		return true
	})
	if err != nil {
		m.log.t.Fatal(err)
	}
	return all
}

// happened returns the types and reasons of the events from the n-th on.
func (m *member) happened(n int) []string {
	m.log.t.Helper()
	var all []string
	for _, e := range m.events()[n:] {
		what := e.Type.String()
		if e.Reason != "" {
			what += " " + e.Reason
		}
		all = append(all, what)
	}
	return all
}
