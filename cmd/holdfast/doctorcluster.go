package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/api"
)

const (
	farBehind     = 1000 // entries
	longBehind    = 5 * time.Second
	clocksApart   = time.Second
	clocksFar     = 30 * time.Second // a login JWT's times are taken with a leeway of a minute at most
	majorityWords = "three voters in three zones survive the loss of one zone"
)

// clusterFindings judges what the cluster says of itself.
func clusterFindings(s api.Status) []finding {
	return slices.Concat([]finding{leaderFound(s)}, membersFound(s), []finding{toleranceFound(s)}, votersFound(s),
		[]finding{lagFound(s), versionsFound(s), hashesFound(s), keysFound(s), clocksFound(s)}, zonesFound(s), disksFound(s))
}

func leaderFound(s api.Status) finding {
	if s.Leader == "" {
		return failure("leader", "start the voters that are down, with their data: a majority elects one; if a majority is lost for good, see \"When the cluster has no leader\" in operations.md",
			"there is none: nothing can be written")
	}
	return well("leader", "%s, term %d", s.Leader, s.Term)
}

func membersFound(s api.Status) []finding {
	var found []finding
	for _, m := range s.Members {
		switch {
		case m.Healthy:
		case m.State == stateDown:
			found = append(found, failure("member", "start it with its data, or, if it will not come back, holdfast cluster remove "+printable(m.ID), "%s is down", m.ID))
		default:
			found = append(found, warning("member", "read its log, if that does not pass by itself", "%s is not healthy: %s", m.ID, orElse(m.Detail, "it does not say why")))
		}
	}
	return found
}

func toleranceFound(s api.Status) finding {
	if s.FailureTolerance == 0 {
		return warning("tolerance", "bring back what is down, or add voters: three survive the loss of one, five of two", "the loss of one more voter stops all writes")
	}
	return well("tolerance", "survives the loss of %d more %s", s.FailureTolerance, plural(s.FailureTolerance, "node"))
}

func votersFound(s api.Status) []finding {
	voters := 0
	for _, m := range s.Members {
		if m.Voter {
			voters++
		}
	}
	if voters > 0 && voters%2 == 0 {
		return []finding{warning("voters", "add one, or demote one (holdfast cluster demote): an even number survives no more than one fewer", "there are %d", voters)}
	}
	return nil
}

func lagFound(s api.Status) finding {
	for _, m := range s.Members {
		if behind := time.Duration(m.LagMS) * time.Millisecond; m.State != stateDown && (m.Lag >= farBehind || behind >= longBehind) {
			return warning("lag", "wait if it was started just now; else look at its disk (holdfast doctor there) and at the network to it",
				"%s is %d entries (%s) behind", m.ID, m.Lag, behind)
		}
	}
	return well("lag", "no member is far behind")
}

func versionsFound(s api.Status) finding {
	versions := make(map[string][]string)
	lowest := uint16(0)
	for _, m := range s.Members {
		if m.State == stateDown {
			continue
		}
		versions[m.Version] = append(versions[m.Version], m.ID)
		if lowest == 0 || m.FeatureLevel < lowest {
			lowest = m.FeatureLevel
		}
	}
	if len(versions) > 1 {
		var texts []string
		for _, v := range slices.Sorted(maps.Keys(versions)) {
			texts = append(texts, fmt.Sprintf("%s on %s", orElse(v, "none"), strings.Join(versions[v], ", ")))
		}
		return warning("versions", "finish the upgrade: features of the newer release begin when all nodes have it", "%s; feature level %d", strings.Join(texts, "; "), s.FeatureLevel)
	}
	if s.FeatureLevel < lowest {
		return warning("versions", "start the members that are down, or remove them: the level rises once every member has announced it",
			"all that run know feature level %d, the cluster is at %d", lowest, s.FeatureLevel)
	}
	for v := range versions {
		return well("versions", "all run %s, feature level %d", v, s.FeatureLevel)
	}
	return well("versions", "no member runs")
}

// hashesFound compares state hashes of the same index: those of others say nothing.
func hashesFound(s api.Status) finding {
	byIndex := make(map[string]map[string][]string)
	for _, m := range s.Members {
		index, hash, ok := strings.Cut(m.StateHash, ":")
		if !ok || m.State == stateDown {
			continue
		}
		if byIndex[index] == nil {
			byIndex[index] = make(map[string][]string)
		}
		byIndex[index][hash] = append(byIndex[index][hash], m.ID)
	}
	for index, hashes := range byIndex {
		if len(hashes) > 1 {
			var texts []string
			for _, hash := range slices.Sorted(maps.Keys(hashes)) {
				texts = append(texts, fmt.Sprintf("%s on %s", hash, strings.Join(hashes[hash], ", ")))
			}
			return failure("state-hash", "the minority is wrong: keep a copy of its data directory, wipe it, let it join again", "states differ at index %s: %s", index, strings.Join(texts, "; "))
		}
	}
	return well("state-hash", "no two members differ at one index")
}

func keysFound(s api.Status) finding {
	if keysDiffer(s) {
		return failure("keys-file", "copy one file to all nodes, and send SIGHUP to every server: till then a key is good on some nodes only", "the nodes have read different files")
	}
	return well("keys-file", "all nodes that run have read the same")
}

// clocksFound compares the members' wall clocks, each as it was when the member answered.
func clocksFound(s api.Status) finding {
	var first, last time.Time
	var slow, fast string
	for _, m := range s.Members {
		at, err := time.Parse(time.RFC3339Nano, m.Clock)
		if err != nil || m.State == stateDown {
			continue
		}
		if slow == "" || at.Before(first) {
			first, slow = at, m.ID
		}
		if fast == "" || at.After(last) {
			last, fast = at, m.ID
		}
	}
	const remedy = "run chronyd or systemd-timesyncd on both: sessions do not mind, but login JWTs have times"
	switch apart := last.Sub(first).Round(time.Millisecond); {
	case slow == "":
		return well("clocks", "no member shows its own")
	case apart >= clocksFar:
		return failure("clocks", remedy, "%s is %s ahead of %s", fast, apart, slow)
	case apart >= clocksApart:
		return warning("clocks", remedy, "%s is %s ahead of %s", fast, apart, slow)
	default:
		return well("clocks", "the members' are at most %s apart", apart)
	}
}

// zonesFound says whether the loss of one zone would stop the cluster, if zones are named at all.
func zonesFound(s api.Status) []finding {
	zones := make(map[string]int)
	voters := 0
	for _, m := range s.Members {
		if m.Voter {
			voters++
			zones[m.Zone]++
		}
	}
	if len(zones) == 1 && zones[""] > 0 || voters < 3 {
		return nil
	}
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		if n := zones[zone]; voters-n < voters/2+1 {
			return []finding{warning("zones", "spread the voters: "+majorityWords, "%d of %d voters are in zone %q: its loss stops all writes", n, voters, zone)}
		}
	}
	return []finding{well("zones", "the loss of any one zone leaves a majority of the %d voters", voters)}
}

func disksFound(s api.Status) []finding {
	var found []finding
	for _, m := range s.Members {
		if m.DiskSizeBytes <= 0 || m.State == stateDown {
			continue
		}
		free := int(m.DiskFreeBytes * 100 / m.DiskSizeBytes)
		const remedy = "make room, or give it a bigger disk: with a full one it can neither write nor lead"
		switch {
		case free < 5:
			found = append(found, failure("disk", remedy, "%d %% of the disk of %s are free", free, m.ID))
		case free < 15:
			found = append(found, warning("disk", remedy, "%d %% of the disk of %s are free", free, m.ID))
		}
	}
	if found == nil {
		found = append(found, well("disk", "every member that says so has room"))
	}
	return found
}
