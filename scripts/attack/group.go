package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// rowTime bounds one row; the longest, the rotation, waits for twice the grace.
const rowTime = 100 * time.Second

// A group is attacks of one kind. Its rows are made when its turn comes, as they need sessions to attack.
type group struct {
	name   string
	beside bool // runs beside the other groups from the start, as it mostly waits
	rows   func(*attack, context.Context) ([]row, error)
}

// groups in the order in which they run: garbage uses up what one address may try, and canary looks at what all left.
func groups() []group {
	return []group{
		{name: "http", rows: (*attack).httpRows},
		{name: "https", rows: (*attack).httpsRows},
		{name: "tokens", rows: (*attack).tokenRows},
		{name: "rotation", rows: (*attack).rotationRows, beside: true},
		{name: "identical", rows: (*attack).identicalRows},
		{name: "jwt", rows: (*attack).jwtRows},
		{name: "logout", rows: (*attack).logoutRows},
		{name: "headers", rows: (*attack).headerRows},
		{name: "index", rows: (*attack).indexRows},
		{name: "rights", rows: (*attack).rightsRows},
		{name: "introspect", rows: (*attack).introspectRows},
		{name: "between", rows: (*attack).betweenRows},
		{name: "garbage", rows: (*attack).garbageRows},
		{name: "archive", rows: (*attack).archiveRows},
		{name: "canary", rows: (*attack).canaryRows},
	}
}

func groupNames() []string {
	var names []string
	for _, g := range groups() {
		names = append(names, g.name)
	}
	return names
}

// chosen are the groups of -groups, in their own order.
func (a *attack) chosen() []group {
	return slices.DeleteFunc(groups(), func(g group) bool { return !slices.Contains(a.cfg.groups, g.name) })
}

// A result is what became of a row.
type result struct {
	row
	verdict
	took time.Duration
}

// start begins the chosen groups that run beside the others.
func (a *attack) start(ctx context.Context) {
	for _, g := range a.chosen() {
		if g.beside {
			done := make(chan []result, 1)
			a.begun[g.name] = done
			go func() { done <- a.runRows(ctx, g) }()
		}
	}
}

// run is what came of a group's rows; of one that was begun before, as soon as it has ended.
func (a *attack) run(ctx context.Context, g group) []result {
	if done, there := a.begun[g.name]; there {
		return <-done
	}
	return a.runRows(ctx, g)
}

// runRows runs the rows of a group in their order, but those that wait beside the others.
func (a *attack) runRows(ctx context.Context, g group) []result {
	rows, err := g.rows(a, ctx)
	if err != nil {
		return []result{{row: row{input: "what the group needs", want: "is made"}, verdict: wrong("%v", err)}}
	}
	results := make([]result, len(rows))
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for i, r := range rows {
		results[i].row = r
		switch {
		case r.long && a.cfg.short:
			results[i].verdict = leftOut("-short: it waits for long")
		case r.alone:
			results[i] = tryRow(ctx, r)
		default:
			waiting.Go(func() { results[i] = tryRow(ctx, r) })
		}
	}
	return results
}

// tryRow turns a panic of a row into a wrong row: the others go on.
func tryRow(ctx context.Context, r row) (out result) {
	began := time.Now()
	out.row = r
	defer func() {
		if broken := recover(); broken != nil {
			out.verdict = wrong("this row's own fault: %v", broken)
		}
		out.took = time.Since(began)
	}()
	ctx, cancel := context.WithTimeout(ctx, rowTime)
	defer cancel()
	out.verdict = r.try(ctx)
	return out
}

// mustAsk is for what a group needs, not for what it tries.
func mustAsk(ctx context.Context, want int, r request) (answer, error) {
	a := ask(ctx, r)
	if a.err != nil || a.status != want {
		return a, fmt.Errorf("%s %s to %s: %s, not %d: %.300s", r.method, r.path, r.node.id, a, want, a.body)
	}
	return a, nil
}
