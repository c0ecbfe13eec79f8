package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

const indexLimit = 6 * time.Second // for a request that waits for an index that never comes: its deadline is 5 s

// indexRows are indexes that are malformed, another cluster's, or beyond the log.
func (a *attack) indexRows(ctx context.Context) ([]row, error) {
	s, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	n := a.nodes[1]
	got, err := mustAsk(ctx, http.StatusOK, strongRead(n, s.token))
	if err != nil {
		return nil, err
	}
	own, number, ok := strings.Cut(got.header.Get("Holdfast-Index"), ".")
	if !ok {
		return nil, fmt.Errorf("Holdfast-Index is %q", got.header.Get("Holdfast-Index"))
	}
	current, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil, err
	}
	read := request{node: n, path: currentPath, auth: s.auth()}
	var rows []row
	for _, text := range []string{
		"", "-1", "0", "rubbish", own, own + ".", own + ".-1", own + ".+1", own + ".1.5", own + ".1e9", own + ".01", own + ".0x10",
		own + ".18446744073709551616", own + "." + strings.Repeat("9", 30), own + "." + strings.Repeat("9", 4000), strings.ToUpper("abcdef") + own[6:] + ".1",
		own[1:] + ".1", own + "0.1", "." + number, own + " ." + number, own + "." + number + ", " + own + "." + number, own + ".NaN",
	} {
		r := read
		r.headers = []string{"Holdfast-Index", text}
		rows = append(rows, asks(fmt.Sprintf("header %.40q", strings.ReplaceAll(text, own, "<cluster>")), r, badRequest))
		if text != "" && !strings.ContainsAny(text, " ,") {
			r.headers = []string{"Cookie", indexCookie + "=" + text}
			rows = append(rows, asks(fmt.Sprintf("cookie %.40q", strings.ReplaceAll(text, own, "<cluster>")), r,
				badRequest.with("cleared", func(got answer) string {
					if line := strings.Join(got.header.Values("Set-Cookie"), "; "); !strings.Contains(line, indexCookie+"=;") || !strings.Contains(line, "Max-Age=0") {
						return fmt.Sprintf("Set-Cookie is %q", line)
					}
					return ""
				})))
		}
	}
	for _, text := range []string{"eventual", "STRONG", "", "strong,local"} {
		r := read
		r.headers = []string{"Holdfast-Consistency", text}
		rows = append(rows, asks(fmt.Sprintf("Holdfast-Consistency %q", text), r, badRequest))
	}
	beyond := own + ".9223372036854775807"
	for _, far := range []struct{ input, index string }{
		{"another cluster's", "0000000000000001." + number},
		{"another cluster's, huge", "ffffffffffffffff.18446744073709551615"},
		{"a million beyond the log", own + "." + fmt.Sprint(current+1_000_000)},
		{"2^63 - 1", beyond},
		{"2^64 - 1", own + ".18446744073709551615"},
	} {
		for _, n := range a.nodes {
			r := read
			r.node, r.headers = n, []string{"Holdfast-Index", far.index}
			rows = append(rows, asks(far.input+", to "+n.id, r, status(http.StatusOK, http.StatusServiceUnavailable).with("within 6 s", inTime)))
		}
	}
	return append(
		rows,
		asks("a write with an index beyond the log", request{
			node: n, method: "PATCH", path: currentPath, body: `{"a":1}`, auth: s.auth(), headers: []string{"Holdfast-Index", beyond},
		}, status(http.StatusOK, http.StatusServiceUnavailable).with("within 6 s", inTime)),
		steps("a hundred requests beyond the log at once", "bounded, others served, no goroutine left", func(ctx context.Context) verdict {
			return a.manyBeyond(ctx, n, s, beyond)
		}),
	), nil
}

func inTime(got answer) string {
	if got.took > indexLimit {
		return "it took " + got.took.String()
	}
	return ""
}

var goroutinesPattern = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)

func goroutines(ctx context.Context, n *node) (int, error) {
	got, err := mustAsk(ctx, http.StatusOK, request{node: n, path: "/metrics"})
	if err != nil {
		return 0, err
	}
	match := goroutinesPattern.FindStringSubmatch(got.body)
	if match == nil {
		return 0, fmt.Errorf("%s tells no go_goroutines", n.id)
	}
	return strconv.Atoi(match[1])
}

// manyBeyond asks for what never comes a hundred times at once: nothing may be left behind, nobody else held up.
func (a *attack) manyBeyond(ctx context.Context, n *node, s owned, index string) verdict {
	const many, noise = 100, 20
	before, err := goroutines(ctx, n)
	if err != nil {
		return wrong("%v", err)
	}
	good, stop := a.goodRequests(ctx, n, s)
	answers := make([]answer, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			answers[i] = ask(ctx, request{node: n, path: currentPath, auth: s.auth(), headers: []string{"Holdfast-Index", index, "Holdfast-Touch", "no"}})
		})
	}
	all.Wait()
	stop()
	slowest := time.Duration(0)
	for _, got := range answers {
		if got.status != http.StatusOK && got.status != http.StatusServiceUnavailable || got.took > indexLimit {
			return wrong("%s after %v", got, got.took)
		}
		slowest = max(slowest, got.took)
	}
	if failed := good.failed.Load(); failed != "" {
		return wrong("a good request meanwhile: %v", failed)
	}
	after := 0
	if err := harness.Poll(ctx, indexLimit, func() error {
		if after, err = goroutines(ctx, n); err == nil && after > before+noise {
			err = fmt.Errorf("%d goroutines, %d before", after, before)
		}
		return err
	}); err != nil {
		return wrong("%v", err)
	}
	return right("slowest %v; goroutines %d, then %d", slowest.Round(time.Millisecond), before, after)
}
