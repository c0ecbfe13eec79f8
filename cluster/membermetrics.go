package cluster

import (
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// memberCollector shows the membership as this node knows it, and on the leader
// what it hears from each member: all at one moment, the moment of the scrape.
type memberCollector struct {
	n *Node

	members, voters, healthy, tolerance *prometheus.Desc
	up, lag, heard, differs             *prometheus.Desc
	certificate, key                    *prometheus.Desc
}

func newMemberCollector(n *Node) *memberCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName("holdfast", "cluster", name), help, labels, nil)
	}
	return &memberCollector{
		n:       n,
		members: desc("members", "Members of the cluster's configuration, as this node knows it."),
		voters:  desc("voters", "Members that have a vote, as this node knows it."),
		healthy: desc("healthy_voters", "On the leader: voters that it hears from, that keep up and agree with its state, itself included."),
		tolerance: desc("failure_tolerance",
			"On the leader: how many more healthy voters may be lost before nothing can be written."),
		up:  desc("member_up", "On the leader: 1 if it hears from the member, 0 if not.", "node"),
		lag: desc("member_lag_entries", "On the leader: entries that the member has not applied yet.", "node"),
		heard: desc("member_last_heard_seconds",
			"On the leader: seconds since the member last asked for a proof of freshness; -1 if it has not in this term.", "node"),
		differs: desc("member_state_hash_differs", "On the leader: 1 if the member's state hash differs from the leader's, 0 if not.", "node"),
		certificate: desc("certificate_not_after_timestamp_seconds",
			"Unix time in seconds until which this node's certificate between nodes is good; it is renewed ten days before."),
		key: desc("key_info", "Always 1: a cluster key that this node holds valid, by its name, which is no secret, and use.", "key", "use"),
	}
}

// Describe implements prometheus.Collector.
func (c *memberCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.members, c.voters, c.healthy, c.tolerance, c.up, c.lag, c.heard, c.differs, c.certificate, c.key,
	} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *memberCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	servers := c.n.configuration().Servers
	gauge(c.members, float64(len(servers)))
	gauge(c.voters, float64(votersOf(servers)))
	if authority := c.n.authority.Load(); authority != nil {
		if until, err := authority.NotAfter(); err == nil {
			gauge(c.certificate, float64(until.Unix()))
		}
		for i, name := range authority.KeyNames() {
			gauge(c.key, 1, name, keyUse(i))
		}
	}
	if !c.n.Leading() {
		return
	}
	healthy := 0
	for _, s := range servers {
		v := c.n.memberSeen(string(s.ID))
		if v.healthy && s.Suffrage == raft.Voter {
			healthy++
		}
		gauge(c.up, number(v.up), string(s.ID))
		gauge(c.lag, v.lag, string(s.ID))
		gauge(c.heard, v.heard, string(s.ID))
		gauge(c.differs, number(v.differs), string(s.ID))
	}
	gauge(c.healthy, float64(healthy))
	gauge(c.tolerance, float64(max(0, healthy-(votersOf(servers)/2+1))))
}

// keyUse says what the key at place i of the valid ones is for.
func keyUse(i int) string {
	if i == 0 {
		return "sign" // and verify
	}
	return "verify"
}

func votersOf(servers []raft.Server) (count int) {
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			count++
		}
	}
	return count
}

// seen is a member as this leader sees it.
type seen struct {
	up, healthy, differs bool
	lag, heard           float64
}

func (n *Node) memberSeen(id string) seen {
	if id == n.cfg.NodeID {
		return seen{up: true, healthy: true}
	}
	applied := n.mark.applied()
	one, known := n.followers.get(id)
	if !known {
		return seen{lag: float64(applied), heard: -1}
	}
	silent := time.Since(one.heard)
	v := seen{
		up: silent <= n.cfg.scaled(time.Second), differs: one.differs != 0,
		lag: max(0, float64(applied)-float64(one.applied)), heard: silent.Seconds(),
	}
	v.healthy = v.up && !v.differs && v.lag <= maxLag
	return v
}

// isMember says whether this node is in the configuration that it knows.
func (n *Node) isMember() bool {
	for _, s := range n.configuration().Servers {
		if string(s.ID) == n.cfg.NodeID {
			return true
		}
	}
	return false
}
