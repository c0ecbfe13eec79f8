package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

func (p *program) clusterKeyGroup() *cobra.Command {
	cmd := p.group("cluster-key", "make and change the one secret that the nodes of a cluster share")
	out := ""
	cmd.AddCommand(p.rotateVerb(), p.command(verb{
		use: "create", short: "draw a cluster key into a new file; give every node a copy of it",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&out, "out", "", "the file to make, mode 0600; one that is there is left alone")
		},
		check: func() error { return required("out", out) },
		run: func(context.Context, []string) error {
			if err := createClusterKey(out); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.stdout, "wrote a new cluster key to %s; whoever holds it can be any node\n", out)
			return err
		},
	}))
	return cmd
}

func createClusterKey(path string) error {
	key, err := pki.NewKey(rand.Reader)
	if err != nil {
		return err
	}
	return createSecretFile(path, key.Reveal()+"\n")
}

// createSecretFile makes a file that only its owner may read, and never replaces one: it might be the only copy of what
// keeps a cluster together.
func createSecretFile(path, content string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is not replaced", path)
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
