package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (p *program) snapshotSaveVerb() *cobra.Command {
	r, overwrite := &remote{}, false
	return p.command(verb{
		use: "save FILE", short: "download an archive from a node (operator key)", args: 1,
		long: "Downloads one consistent state that holds every write acknowledged before. The archive grows in FILE.part, is read\n" +
			"back whole, synced, and only then named FILE: a download that was cut never looks like an archive.",
		flags: func(f *pflag.FlagSet) {
			r.flags(f)
			f.BoolVar(&overwrite, "overwrite", false, "replace FILE if it is there")
		},
		check: r.check,
		run: func(ctx context.Context, args []string) error {
			ctx, stop := interruptible(ctx)
			defer stop()
			if _, err := os.Lstat(args[0]); err == nil && !overwrite {
				return fmt.Errorf("%s is there already: choose another name, or --overwrite", printable(args[0]))
			}
			began := time.Now()
			view, err := p.saveTo(ctx, r, args[0])
			if err != nil {
				return err
			}
			if r.output == outputJSON {
				return writeJSON(p.stdout, view)
			}
			p.printArchive(view)
			fmt.Fprintf(p.stdout, "\nsaved in %s\n", time.Since(began).Round(time.Millisecond))
			return nil
		},
	})
}

// saveTo downloads an archive, and gives it its name once it has been read back whole.
func (p *program) saveTo(ctx context.Context, r *remote, path string) (*archiveView, error) {
	response, addr, err := r.download(ctx, "/cluster/snapshot")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	part := path + partSuffix
	bar := p.newByteBar("save", response.ContentLength)
	err = writePart(part, io.TeeReader(response.Body, bar))
	bar.close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: the archive did not arrive whole: %w", addr, err), os.Remove(part))
	}
	view, err := p.inspect(ctx, part)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("what %s has sent is no sound archive: %w", addr, err), os.Remove(part))
	}
	view.File = path
	return view, promotePart(part, path)
}

// partSuffix ends the name of a file that is not yet what its name says.
const partSuffix = ".part"

// writePart writes a file that only its owner may read, and syncs it.
func writePart(path string, from io.Reader) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// promotePart gives a file that is complete and synced its name, for good.
func promotePart(part, path string) error {
	if err := os.Rename(part, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
