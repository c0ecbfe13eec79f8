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

// agreed is what all members should have alike, and what to do where they have not.
var agreed = []struct {
	what, do string
	// of is empty for a node of an earlier release, which does not say.
	of func(report) string
}{
	{
		"the members' keys files differ: a key may be valid on some of them only",
		"copy the keys file to every node and send SIGHUP; cluster status -o json shows each node's keys_digest",
		func(r report) string { return "of " + r.KeysDigest }, // a node may have none
	},
	{
		"the members' cluster keys differ: a rotation is not finished",
		"run holdfast cluster-key rotate --resume; cluster status -o json shows each node's cluster_keys",
		func(r report) string { return strings.Join(r.ClusterKeys, " ") },
	},
	{
		"the members' flags for sessions or logins differ: what a request gets depends on the node",
		"start every node with the same; cluster status -o json shows each node's policy_digest",
		func(r report) string { return r.PolicyDigest },
	},
}

// runAgreement is a duty of the leader.
func (n *Node) runAgreement(ctx context.Context) {
	tick := time.NewTicker(n.cfg.scaled(agreementInterval))
	defer tick.Stop()
	found := make([]disagreement, len(agreed))
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n.spreadPendingKey(ctx)
		reports, _ := n.reports(ctx, n.configuredIDs())
		for i, a := range agreed {
			switch warn, over := found[i].observe(differ(reports, a.of), time.Now()); {
			case warn:
				n.log.Warn(a.what, "since", found[i].since.UTC().Format(time.RFC3339), "do", a.do)
			case over:
				n.log.Info("over: " + a.what)
			}
		}
	}
}

// differ says whether two nodes that say differ.
func differ(reports []report, of func(report) string) bool {
	said := make(map[string]bool)
	for _, r := range reports {
		if text := of(r); text != "" {
			said[text] = true
		}
	}
	return len(said) > 1
}

// configuredIDs are the ids of the configuration's members.
func (n *Node) configuredIDs() []string {
	var ids []string
	for _, s := range n.configuration().Servers {
		ids = append(ids, string(s.ID))
	}
	return ids
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
