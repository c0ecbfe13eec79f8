// Package gossip finds the other nodes of a cluster and carries their addresses.
//
// It wraps hashicorp/memberlist. It knows node ids, addresses and a few facts
// that nodes tell about themselves (Meta); it knows nothing of Raft. What it
// says is advice: nodes come and go in it, and the Raft configuration decides who
// is a member.
//
// What always holds:
//
//   - Every packet and stream is encrypted and authenticated (AES-256-GCM) with
//     a key that is derived from the cluster key; what is not is dropped.
//   - A node's metadata fit memberlist's 512 bytes: that is checked where they
//     are set, because memberlist panics on more.
//   - Members and addresses are copies that are kept up by events: memberlist's
//     own records change under its readers.
//   - Addresses are remembered on disk, so that nodes which all restart find each
//     other without seeds; memberlist itself forgets the dead. The file is a
//     cache: if it is damaged, it is ignored and written anew.
//   - Joining never ends: whoever is known and not there is tried again and again.
//   - Anybody can send packets here, so what they cause is bounded: streams, log
//     lines, time.
package gossip
