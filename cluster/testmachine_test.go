package cluster

import (
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"sync"
)

// testState is what a test machine holds.
type testState struct {
	Index, Term   uint64
	Stamp         int64
	Cluster       uint64
	Conf          []byte
	ConfIndex     uint64
	Hash          uint64
	HashIndex     uint64
	Values        map[string]string
	Replies       map[string]string // by request id: what makes a retry harmless
	Times         map[string]int    // how often a request took effect
	Entries       int
	LargestStamp  int64
	WentBack      bool
	StampByValues map[string]int64
}

func (s *testState) clone() *testState {
	c := *s
	c.Values = cloneMap(s.Values)
	c.Replies = cloneMap(s.Replies)
	c.Times = cloneMap(s.Times)
	c.StampByValues = cloneMap(s.StampByValues)
	return &c
}

func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// disk is what of a node survives a kill.
type disk struct {
	mu    sync.Mutex
	table *testState
	// reached and known are the feature levels; set before the node opens.
	reached, known uint16
}

// testMachine applies commands "<request> set <key> <value>".
type testMachine struct {
	disk *disk

	mu      sync.Mutex
	state   *testState
	spoil   bool          // hash wrongly from now on
	hold    chan struct{} // Apply waits until it is closed
	skipped int
}

// Level of a test's machine: what the test says.
func (m *testMachine) Level() (reached, known uint16) { return m.disk.reached, max(m.disk.known, 1) }

// Rename is for a recovery.
func (m *testMachine) Rename(index, term, cluster uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Index, m.state.Term, m.state.Cluster = index, term, cluster
	return nil
}

func openTestMachine(d *disk) *testMachine {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.table == nil {
		d.table = &testState{
			Values: map[string]string{}, Replies: map[string]string{}, Times: map[string]int{}, StampByValues: map[string]int64{},
		}
	}
	return &testMachine{disk: d, state: d.table.clone()}
}

func (m *testMachine) Apply(index, term uint64, stamp int64, commands [][]byte) [][]byte {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	if index <= s.Index {
		m.skipped++
		return nil
	}
	s.Index, s.Term, s.Stamp = index, term, max(s.Stamp, stamp)
	s.Entries++
	replies := make([][]byte, len(commands))
	for i, c := range commands {
		request, rest, _ := strings.Cut(string(c), " ")
		reply, seen := s.Replies[request]
		if !seen {
			verb, pair, _ := strings.Cut(rest, " ")
			key, value, found := strings.Cut(pair, " ")
			if verb != "set" || !found {
				panic(string(c))
			}
			s.Values[key] = value
			s.StampByValues[key] = s.Stamp
			reply = "ok " + value
			s.Replies[request] = reply
			s.Times[request]++
		}
		replies[i] = []byte(reply)
		m.mix(string(c))
	}
	m.mix(fmt.Sprint(index, s.Stamp))
	s.HashIndex = index
	return replies
}

func (m *testMachine) mix(text string) {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, m.state.Hash))
	_, _ = io.WriteString(h, text)
	if m.spoil {
		_, _ = io.WriteString(h, "spoilt")
	}
	m.state.Hash = h.Sum64()
}

func (m *testMachine) Begin(index, term uint64, stamp int64, cluster uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	if index <= s.Index {
		m.skipped++
		return
	}
	s.Index, s.Term, s.Stamp = index, term, max(s.Stamp, stamp)
	if s.Cluster == 0 {
		s.Cluster = cluster
	}
	m.mix(fmt.Sprint("begin", index, s.Stamp, s.Cluster))
	s.HashIndex = index
}

func (m *testMachine) Configure(index uint64, configuration []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if index <= m.state.ConfIndex {
		return
	}
	m.state.Conf, m.state.ConfIndex = configuration, index
}

func (m *testMachine) Applied() (index, term uint64, stamp int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Index, m.state.Term, m.state.Stamp
}

func (m *testMachine) Cluster() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Cluster
}

func (m *testMachine) Durable() (index, term uint64, configuration []byte, configurationIndex uint64) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	t := m.disk.table
	return t.Index, t.Term, t.Conf, t.ConfIndex
}

func (m *testMachine) Flush(index, term uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if index > m.state.Index {
		m.state.Index, m.state.Term = index, term
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.disk.table = m.state.clone()
	return nil
}

func (m *testMachine) Export(w io.Writer) (index, term uint64, configuration []byte, configurationIndex uint64, err error) {
	m.disk.mu.Lock()
	t := m.disk.table.clone()
	m.disk.mu.Unlock()
	return t.Index, t.Term, t.Conf, t.ConfIndex, gob.NewEncoder(w).Encode(t)
}

func (m *testMachine) Import(r io.Reader) error {
	var t testState
	if err := gob.NewDecoder(r).Decode(&t); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.state, m.disk.table = t.clone(), t.clone()
	return nil
}

func (m *testMachine) Hash() (index, hash uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.HashIndex, m.state.Hash
}

func (m *testMachine) get(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Values[key]
}

func (m *testMachine) snapshot() *testState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.clone()
}
