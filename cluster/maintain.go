package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"
)

// Files of this package in a data directory. The identity says whose the directory
// is, and outlives what the node knows of the cluster; so do the addresses.
const (
	IdentityFile = identityFile
	PeersFile    = "peers.json"
	SpoolDir     = "spool"
)

// Inspect says what is damaged of this package's files in a data directory that no
// process has open.
func Inspect(dir string, walk Walk) error {
	var faults []error
	raw, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err == nil {
		_, err = decodeIdentity(raw)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		faults = append(faults, fmt.Errorf("%s: %w", identityFile, err))
	}
	if err := InspectLogFile(filepath.Join(dir, LogFile), walk); err != nil {
		faults = append(faults, fmt.Errorf("%s: %w", LogFile, err))
	} else if err := inspectLog(dir); err != nil {
		faults = append(faults, fmt.Errorf("%s: %w", LogFile, err))
	}
	return errors.Join(faults...)
}

// inspectLog rereads every entry.
func inspectLog(dir string) (err error) {
	if _, err := os.Stat(filepath.Join(dir, LogFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file, err := openLogFile(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	ignore := func(error) {}
	logs := newLogStore(file, 0, newWatchdog(0, ignore), ignore)
	first, last, err := logs.ends()
	if err != nil {
		return err
	}
	var newest raft.Log
	for index := max(first, 1); index <= last; index++ {
		// A gap may be one that an archive has made: only the table knows.
		if err := logs.reread(index, &newest); err != nil && !errors.Is(err, raft.ErrLogNotFound) {
			return err
		}
	}
	return (&stableStore{StableStore: file, watch: logs.watch, fail: ignore}).scrub()
}

// Voters are the ids of all voters of a configuration as a machine keeps it.
func Voters(configuration []byte) ([]string, error) {
	c, err := decodeConfiguration(configuration)
	if err != nil {
		return nil, err
	}
	var voters []string
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, string(s.ID))
		}
	}
	slices.Sort(voters)
	return voters, nil
}

// LogFreeBytes is how many bytes of the log's file hold nothing, as of its last
// write: later writes fill them, and a compaction of the stopped node gives them back.
func (n *Node) LogFreeBytes() int64 {
	if n.logFile == nil {
		return 0
	}
	stats := n.logFile.Stats()
	return int64(stats.FreePageN) * int64(os.Getpagesize())
}
