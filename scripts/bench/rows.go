package main

import "github.com/holdfastdb/holdfast/scripts/bench/load"

// floorRow names what -rows floor measures. It is no row of the table: nothing is asked of the floor.
const floorRow = "floor"

const none = -1 // no must, or no aim

// A criterion is what one row of the table asks. Its value is a plain number: a ratio, or in the unit that it names.
type criterion struct {
	name, what string
	unit       string // after the value
	must, aim  float64
	lower      bool    // smaller values are better
	etcd, nats float64 // thousands a second, measured on this class of machine in the same way; 0: not compared
}

// criteria are all rows, in the order in which they are printed.
func criteria() []criterion {
	return []criterion{
		{name: "get-64", what: "GET, 64 clients", unit: "of floor", must: .55, aim: .65, etcd: 19.6, nats: 30.5},
		{name: "get-256", what: "GET, 256 clients", unit: "of floor", must: none, aim: none, etcd: 23.2, nats: 39.0},
		{name: "create-64", what: "create, 64 clients", unit: "of floor", must: .15, aim: .20, etcd: 5.8, nats: 9.8},
		{name: "create-256", what: "create, 256 clients", unit: "of floor", must: .22, aim: .30, etcd: 8.4, nats: 15.3},
		{name: "patch-64", what: "PATCH, 64 clients", unit: "of floor", must: .13, aim: .20, etcd: 3.3, nats: 5.1},
		{name: "patch-256", what: "PATCH, 256 clients", unit: "of floor", must: .20, aim: .30, etcd: 4.6, nats: 8.2},
		{name: "mixed-64", what: "95 % GET, 5 % PATCH, 64 clients", unit: "of floor", must: .40, aim: .50, etcd: 13.0, nats: 19.6},
		{name: "mixed-256", what: "95 % GET, 5 % PATCH, 256 clients", unit: "of floor", must: none, aim: none, etcd: 16.6, nats: 29.7},
		{name: "patch-leader", what: "PATCH, 1 client, on the leader, median", unit: "appends", must: 4, aim: 2.5, lower: true},
		{name: "get-million", what: "GET with the big store against the small one", unit: "of its speed", must: .9, aim: 1},
		{name: "restart", what: "restart with the big store after kill -9", unit: "s", must: 5, aim: 2, lower: true},
		{name: "heap", what: "Go heap a node with the big store", unit: "MiB", must: 300, aim: 150, lower: true},
		{name: "archive-save", what: "archive of the big store, from a follower", unit: "MB/s", must: 50, aim: 100},
		{name: "archive-heap", what: "  Go heap for it", unit: "MiB", must: 64, aim: 32, lower: true},
		{name: "archive-restore", what: "  restored into an empty cluster in", unit: "s", must: none, aim: none, lower: true},
		{name: "join-voter", what: "a fourth node joins the big store under load: has its vote after", unit: "s", must: 60, aim: 20, lower: true},
		{name: "join-reads", what: "  p99 of reads on the others meanwhile, against before", unit: "times", must: 2, aim: none, lower: true},
		{name: "join-writes", what: "  p99 of writes on the others meanwhile, against before", unit: "times", must: 2, aim: none, lower: true},
		{name: "join-failed", what: "  failed requests meanwhile", unit: "", must: 0, aim: none, lower: true},
		{name: "expiry-gone", what: "all sessions of a big store expire at once: gone in", unit: "s", must: 200, aim: 60, lower: true},
		{name: "expiry-reads", what: "  p99 of reads meanwhile, against before", unit: "times", must: 2, aim: none, lower: true},
		{name: "expiry-writes", what: "  longest wait of a write meanwhile", unit: "ms", must: 250, aim: none, lower: true},
		{name: "kill-pause", what: "kill -9 of the leader: write pause, p50", unit: "s", must: .9, aim: .5, lower: true},
		{name: "kill-failed", what: "  failed requests to surviving nodes", unit: "", must: 0, aim: none, lower: true},
		{name: "kill-reads", what: "  longest time without a local read", unit: "s", must: noPause, aim: none, lower: true},
		{name: "timing-secret", what: "401 for a wrong secret against an unknown token", unit: "|t|", must: none, aim: none, lower: true},
		{name: "timing-expired", what: "401 for an expired session's token", unit: "|t|", must: none, aim: none, lower: true},
		{name: "timing-revoked", what: "401 for a revoked session's token", unit: "|t|", must: none, aim: none, lower: true},
	}
}

// noPause is what a run without a pause of reads may show in seconds: every machine stalls now and then, and the nodes
// share theirs with the client and with the election.
const noPause = .1

func rowNames() []string {
	var names []string
	for _, c := range criteria() {
		names = append(names, c.name)
	}
	return names
}

// A cell is a throughput row: one profile with so many clients over all nodes.
type cell struct {
	name    string
	profile load.Profile
	clients int
}

// cells in the order in which they are measured: reads first, while the store has just the sessions that they ask for.
func cells() []cell {
	return []cell{
		{"get-64", load.Get, 64},
		{"get-256", load.Get, 256},
		{"mixed-64", load.Mixed, 64},
		{"mixed-256", load.Mixed, 256},
		{"patch-64", load.Patch, 64},
		{"patch-256", load.Patch, 256},
		{"create-64", load.Create, 64},
		{"create-256", load.Create, 256},
	}
}

func throughputRows() []string {
	names := []string{"patch-leader"}
	for _, c := range cells() {
		names = append(names, c.name)
	}
	return names
}

// A row is one measured figure. What it asks is in the criterion of the same name.
type row struct {
	Name   string        `json:"name"`
	What   string        `json:"what"`
	Figure string        `json:"figure"`            // what was measured
	Beside string        `json:"beside,omitempty"`  // what it is measured against
	Value  *float64      `json:"value,omitempty"`   // what is compared with the must; nil: nothing is asked
	Unit   string        `json:"unit,omitempty"`    // of Value, Must and Aim
	Must   *float64      `json:"must,omitempty"`    //
	Aim    *float64      `json:"aim,omitempty"`     //
	Mark   string        `json:"verdict,omitempty"` // aim, must, MISSED, smoke
	Rivals string        `json:"rivals,omitempty"`  //
	Notes  []string      `json:"notes,omitempty"`   //
	Runs   []load.Result `json:"runs,omitempty"`    // everything behind the figure, floors included, in order
}

// judge fills in what the criterion asks and how the value meets it.
func (c criterion) judge(r row, smoke bool) row {
	r.What, r.Unit = c.what, c.unit
	meets := func(bound float64) bool { return c.lower && *r.Value <= bound || !c.lower && *r.Value >= bound }
	if c.must != none {
		r.Must = &c.must
	}
	if c.aim != none {
		r.Aim = &c.aim
	}
	switch {
	case r.Value == nil || c.must == none:
	case smoke:
		r.Mark = "smoke"
	case c.aim != none && meets(c.aim):
		r.Mark = "✓ aim"
	case meets(c.must):
		r.Mark = "✓ must"
	default:
		r.Mark = "✗ MISSED"
	}
	return r
}
