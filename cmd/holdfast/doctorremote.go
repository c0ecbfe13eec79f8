package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/api"
)

// examineCluster looks at the nodes that --addr names, at the members that they know of, and at what they say together.
func (d *doctorFlags) examineCluster(ctx context.Context) []finding {
	nodes := probeEach(ctx, d.addrs)
	status, found := d.askStatus(ctx, nodes)
	s := sight{nodes: nodes, status: status}
	if status != nil {
		known := append([]string(nil), d.addrs...)
		for _, n := range nodes {
			known = append(known, n.id)
		}
		s.nodes = append(s.nodes, probeEach(ctx, membersBeside(known, d.addrs[0], status))...)
	}
	found = append(found, nodesAnswer(s))
	if status != nil {
		found = slices.Concat(found, clusterFindings(*status), clusterPorts(ctx, *status))
	}
	return slices.Concat(found, nodeFindings(s, time.Now()))
}

func probeEach(ctx context.Context, addrs []string) []probed {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	return probe(ctx, addrs)
}

// askStatus asks the nodes that live for the state of the cluster; nil without a key that is accepted.
func (d *doctorFlags) askStatus(ctx context.Context, nodes []probed) (*api.Status, []finding) {
	if d.key == "" {
		return nil, []finding{warning("status", "give an operator key in "+envName("key"), "without a key only the nodes that are named can be looked at, not the cluster")}
	}
	asked := remote{key: d.key}
	for _, n := range nodes {
		if n.fault == nil {
			asked.addrs = append(asked.addrs, n.addr)
		}
	}
	if len(asked.addrs) == 0 {
		return nil, nil // that no node answers is said elsewhere
	}
	var status api.Status
	err := asked.ask(ctx, http.MethodGet, "/cluster/status", &status)
	if refused, ok := errors.AsType[*refusal](err); ok && refused.status/100 == 4 {
		return nil, []finding{failure("status", "holdfast keys list --keys-file shows which keys the nodes have; an operator key is needed", "%v", err)}
	}
	if err != nil {
		return nil, []finding{failure("status", "look at the logs of the nodes", "%v", err)}
	}
	return &status, nil
}

// membersBeside are the addresses of members that are not among the known ids and addresses. They speak what like speaks.
func membersBeside(known []string, like string, status *api.Status) []string {
	scheme := ""
	if strings.HasPrefix(like, "https://") {
		scheme = "https://"
	}
	var addrs []string
	for _, m := range status.Members {
		addr := scheme + m.HTTPAddr
		if _, err := baseURL(addr); err == nil && m.State != stateDown && !slices.Contains(known, m.ID) && !slices.Contains(known, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func nodesAnswer(s sight) finding {
	var silent, unready []string
	for _, n := range s.nodes {
		switch {
		case n.fault != nil:
			silent = append(silent, n.fault.Error())
		case !n.ready:
			unready = append(unready, n.name()+because(n.failing))
		}
	}
	switch {
	case len(silent) > 0:
		return failure("nodes", "start it, and read the last line of its log; if it runs, open its http port to this machine", "%s", strings.Join(silent, ", "))
	case len(unready) > 0:
		return failure("nodes", "wait if it has just been started; else read its log", "not ready: %s", strings.Join(unready, ", "))
	}
	return well("nodes", "%d %s, and ready", len(s.nodes), map[bool]string{true: "answers", false: "answer"}[len(s.nodes) == 1])
}

// clusterPorts opens a connection to the cluster port of every member that runs.
func clusterPorts(ctx context.Context, s api.Status) []finding {
	faults := make([]error, len(s.Members))
	var trying sync.WaitGroup
	for i, m := range s.Members {
		if m.State != stateDown && m.ClusterAddr != "" {
			trying.Go(func() { faults[i] = reach(ctx, m.ClusterAddr) })
		}
	}
	trying.Wait()
	var closed []string
	for i, err := range faults {
		if err != nil {
			closed = append(closed, fmt.Sprintf("%s (%s)", s.Members[i].ID, s.Members[i].ClusterAddr))
		}
	}
	if len(closed) > 0 {
		return []finding{warning("cluster-port", "if this machine is a node, open it; if it is not, all is well", "not reached from here: %s", strings.Join(closed, ", "))}
	}
	return []finding{well("cluster-port", "those of all members that run are reached from here")}
}
