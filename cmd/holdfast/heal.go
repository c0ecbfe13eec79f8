package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/storage"
)

// healing is one invocation of heal.
type healing struct {
	dir              string
	yes, keep, force bool
	loseEverything   bool
}

func (p *program) healVerb() *cobra.Command {
	h := &healing{}
	return p.command(verb{
		use: "heal", short: "forget the damaged data of a stopped node, so that it gets the cluster's again at its next start",
		long: "Removes what a node that took itself out of service holds: its table, its log and the marker. It keeps whose node it\n" +
			"is, and where the others are. At its next start the node asks the leader, is taken out of the configuration and added\n" +
			"again without a vote, receives the whole state, and gets its vote back once it has kept up. Without --yes it says what\n" +
			"it would do. Heal one node at a time, while the others are a majority.",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&h.dir, "data-dir", "", "the data directory of the node, which must not run")
			f.BoolVar(&h.yes, "yes", false, "do it")
			f.BoolVar(&h.keep, "keep", false, "move the damaged files to damaged-TIME in the directory, and remove nothing")
			f.BoolVar(&h.force, "force", false, "also where nothing is known to be damaged")
			f.BoolVar(&h.loseEverything, "lose-everything", false, "also where no other node is known to have the state")
		},
		check: func() error { return required("data-dir", h.dir) },
		run:   func(context.Context, []string) error { return p.heal(h) },
	})
}

func (p *program) heal(h *healing) (err error) {
	if _, err := os.Stat(h.dir); err != nil {
		return err
	}
	lock, err := lockDir(h.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	reason, err := h.diagnose()
	if err != nil {
		return err
	}
	if reason == "" && !h.force {
		return errors.New("nothing is known to be damaged here, and nothing was changed; --force forgets the data all the same")
	}
	if reason == "" {
		reason = "an operator wants it so (--force)"
	}
	fmt.Fprintf(p.stdout, "reason: %s\n", printable(reason))
	others, sole := h.others()
	if sole && !h.loseEverything {
		return errors.New("no other node is known to have the state: healing would lose every session. Restore a backup instead, " +
			"or give --lose-everything")
	}
	if !sole {
		fmt.Fprintf(p.stdout, "the other voters are %s: a majority of all voters must run, or this node cannot come back\n", printable(strings.Join(others, ", ")))
	}
	if !h.yes {
		fmt.Fprintf(p.stdout, "would %s; nothing was changed: give --yes\n", h.plan())
		return nil
	}
	if err := h.do(reason); err != nil {
		return fmt.Errorf("%w: give the same command again", err)
	}
	_, err = fmt.Fprintf(p.stdout, "done: start the node, and watch it come back with holdfast cluster status\n")
	return err
}

// diagnose returns what is wrong here, nothing if nothing is known.
func (h *healing) diagnose() (string, error) {
	m, err := readMarker(h.dir)
	if err != nil {
		return "", err
	}
	if m != nil {
		return m.Reason, nil
	}
	err = errors.Join(storage.Inspect(filepath.Join(h.dir, tableFile)), cluster.Inspect(h.dir, walkFile))
	switch {
	case err == nil:
		return "", nil
	case isDamage(err):
		return oneLine([]error{err}).Error(), nil
	}
	return "", err
}

// others are the other voters, by the table, or where that is too damaged to say, the peers that were remembered; sole
// says that there are none.
func (h *healing) others() (ids []string, sole bool) {
	var own struct {
		NodeID string `json:"node_id"`
	}
	if raw, err := os.ReadFile(filepath.Join(h.dir, cluster.IdentityFile)); err == nil {
		_ = json.Unmarshal(raw, &own) // what cannot be read names nobody
	}
	point, err := storage.PointOf(filepath.Join(h.dir, tableFile))
	if err == nil && len(point.Configuration) > 0 {
		if ids, err = cluster.Voters(point.Configuration); err == nil {
			ids = without(ids, own.NodeID)
			return ids, len(ids) == 0
		}
	}
	var peers struct {
		Peers []struct {
			ID string `json:"id"`
		} `json:"peers"`
	}
	if raw, err := os.ReadFile(filepath.Join(h.dir, cluster.PeersFile)); err == nil {
		_ = json.Unmarshal(raw, &peers)
	}
	for _, peer := range peers.Peers {
		ids = append(ids, peer.ID)
	}
	ids = without(ids, own.NodeID)
	return ids, len(ids) == 0
}

func without(ids []string, id string) []string {
	var rest []string
	for _, other := range ids {
		if other != id {
			rest = append(rest, other)
		}
	}
	return rest
}

// files are what a damaged node forgets. An identity goes only if it is damaged itself: the next start writes it anew.
func (h *healing) files() []string {
	files := []string{tableFile, tableFile + ".import", cluster.LogFile, cluster.SpoolDir}
	if errors.Is(cluster.Inspect(h.dir, walkFile), cluster.ErrIdentity) {
		files = append(files, cluster.IdentityFile)
	}
	return files
}

func (h *healing) plan() string {
	if h.keep {
		return fmt.Sprintf("move %s to a folder damaged-TIME in %s", strings.Join(h.files(), ", "), h.dir)
	}
	return fmt.Sprintf("remove %s in %s", strings.Join(h.files(), ", "), h.dir)
}

// do is safe to be cut off at any step: the marker goes last, and with it no server starts.
func (h *healing) do(reason string) error {
	if err := writeMarker(h.dir, marker{Reason: reason}); err != nil {
		return err
	}
	aside := ""
	if h.keep {
		aside = filepath.Join(h.dir, "damaged-"+time.Now().UTC().Format("20060102T150405Z"))
		if err := os.MkdirAll(aside, 0o700); err != nil {
			return err
		}
	}
	for _, name := range h.files() {
		path := filepath.Join(h.dir, name)
		var err error
		if h.keep {
			err = os.Rename(path, filepath.Join(aside, name))
		} else {
			err = os.RemoveAll(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := syncDir(h.dir); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(h.dir, markerFile)); err != nil {
		return err
	}
	return syncDir(h.dir)
}
