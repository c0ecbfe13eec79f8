package cluster

import (
	"context"
	"strings"
	"time"
)

const (
	// agreementInterval is how often the leader looks whether the members have the
	// same secrets, and tells a member the pending cluster key.
	agreementInterval = 5 * time.Second
	// disagreementPatience is how long files may differ before that is news: an
	// operator changes them one after the other.
	disagreementPatience = 30 * time.Second
	// disagreementReminder is the pause between two warnings of one thing.
	disagreementReminder = 10 * time.Minute
)

// disagreement is something that all members should have alike.
type disagreement struct {
	since, warned time.Time
}

// observe says whether to warn now, and whether to say that it is over.
func (d *disagreement) observe(differs bool, now time.Time) (warn, over bool) {
	if !differs {
		over = !d.warned.IsZero()
		*d = disagreement{}
		return false, over
	}
	if d.since.IsZero() {
		d.since = now
	}
	if now.Sub(d.since) < disagreementPatience || (!d.warned.IsZero() && now.Sub(d.warned) < disagreementReminder) {
		return false, false
	}
	d.warned = now
	return true, false
}

// runAgreement is a duty of the leader.
func (n *Node) runAgreement(ctx context.Context) {
	tick := time.NewTicker(n.cfg.scaled(agreementInterval))
	defer tick.Stop()
	var serviceKeys, clusterKeys disagreement
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n.spreadPendingKey(ctx)
		differs := n.differences(ctx)
		n.tellDisagreement(&serviceKeys, differs.keysFiles, "the members' keys files differ: a key may be valid on some of them only",
			"copy the keys file to every node and send SIGHUP; cluster status shows each node's keys_digest")
		n.tellDisagreement(&clusterKeys, differs.clusterKeys, "the members' cluster keys differ: a rotation is not finished",
			"run holdfast cluster-key rotate, which goes on with it; cluster status shows each node's cluster_keys")
	}
}

func (n *Node) tellDisagreement(d *disagreement, differs bool, what, help string) {
	switch warn, over := d.observe(differs, time.Now()); {
	case warn:
		n.log.Warn(what, "since", d.since.UTC().Format(time.RFC3339), "do", help)
	case over:
		n.log.Info("over: " + what)
	}
}

type differences struct{ keysFiles, clusterKeys bool }

// differences compares the members that answer.
func (n *Node) differences(ctx context.Context) (d differences) {
	var ids []string
	for _, s := range n.configuration().Servers {
		ids = append(ids, string(s.ID))
	}
	reports, _ := n.reports(ctx, ids)
	for _, r := range reports {
		d.keysFiles = d.keysFiles || r.KeysDigest != reports[0].KeysDigest
		d.clusterKeys = d.clusterKeys || strings.Join(r.ClusterKeys, " ") != strings.Join(reports[0].ClusterKeys, " ")
	}
	return d
}

// spreadPendingKey tells it to members that were down when it was installed. A
// key that is being removed is never pending, so it is not brought back.
func (n *Node) spreadPendingKey(ctx context.Context) {
	if n.keyring == nil {
		return
	}
	pending := n.keyring.state.Load().pending
	key, ok := n.keyNamed(pending)
	if pending == "" || !ok {
		return
	}
	n.keyring.leading.Lock()
	defer n.keyring.leading.Unlock()
	for _, m := range n.memberKeys(ctx) {
		if m.keys == nil || m.has(pending) {
			continue
		}
		if _, err := n.callKeyStep(ctx, m.id, append([]byte{stepInstall}, key[:]...)); err != nil {
			n.log.Warn("a member could not be given the pending cluster key", "node", m.id, "key", pending, "error", err)
			continue
		}
		n.log.Info("gave a member the pending cluster key", "node", m.id, "key", pending)
	}
}
