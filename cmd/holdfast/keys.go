package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/api/auth"
)

func (p *program) keysGroup() *cobra.Command {
	cmd := p.group("keys", "make and revoke service and operator keys")
	cmd.AddCommand(p.keysCreateVerb(), p.keysListVerb(), p.keysRevokeVerb())
	return cmd
}

// keysFlags are the flags of the keys verbs.
type keysFlags struct {
	file, role, name, output string
}

func (k *keysFlags) fileFlag(f *pflag.FlagSet) {
	f.StringVar(&k.file, "keys-file", "", "the file that servers are given; it holds hashes only")
}

func (k *keysFlags) nameFlag(f *pflag.FlagSet) {
	f.StringVar(&k.name, "name", "", "who or what holds the key; unique in the file")
}

func required(flag, value string) error {
	if value == "" {
		return fmt.Errorf("%s is required", flag)
	}
	return nil
}

func (p *program) keysCreateVerb() *cobra.Command {
	k := &keysFlags{}
	return p.command(verb{
		use: "create", short: "make a key, print it this once, and add its hash to the file",
		flags: func(f *pflag.FlagSet) {
			k.fileFlag(f)
			f.StringVar(&k.role, "role", "", "service (a backend) or operator (who runs the cluster)")
			k.nameFlag(f)
		},
		check: func() error {
			return errors.Join(
				required("keys-file", k.file),
				mustChooseOne("role", k.role, string(auth.RoleService), string(auth.RoleOperator)),
				required("name", k.name))
		},
		run: func(context.Context, []string) error {
			key, err := auth.CreateKey(k.file, auth.Role(k.role), k.name, rand.Reader, time.Now())
			if err != nil {
				return err
			}
			// The key alone on stdout, so that a script can take it; what a person needs to know beside it.
			fmt.Fprintf(p.stderr, "This is the only time that this key is shown. Servers read %s at the start and on SIGHUP.\n", k.file)
			_, err = fmt.Fprintln(p.stdout, key)
			return err
		},
	})
}

func (p *program) keysListVerb() *cobra.Command {
	k := &keysFlags{}
	return p.command(verb{
		use: "list", short: "who holds keys",
		flags: func(f *pflag.FlagSet) {
			k.fileFlag(f)
			f.StringVarP(&k.output, "output", "o", outputTable, "table or json")
		},
		check: func() error {
			return errors.Join(required("keys-file", k.file), mustChooseOne("output", k.output, outputTable, outputJSON))
		},
		run: func(context.Context, []string) error {
			keys, err := auth.ListKeys(k.file)
			if err != nil {
				return err
			}
			type entry struct {
				Name    string    `json:"name"`
				Role    auth.Role `json:"role"`
				Created time.Time `json:"created"`
			}
			list := make([]entry, 0, len(keys))
			rows := make([][]any, 0, len(keys))
			for _, key := range keys {
				list = append(list, entry{key.Name, key.Role, key.Created})
				rows = append(rows, []any{key.Name, string(key.Role), key.Created.Format(time.RFC3339)})
			}
			if k.output == outputJSON {
				return writeJSON(p.stdout, list)
			}
			writeTable(p.stdout, []any{"name", "role", "created"}, rows)
			return nil
		},
	})
}

func (p *program) keysRevokeVerb() *cobra.Command {
	k := &keysFlags{}
	return p.command(verb{
		use: "revoke", short: "take a key out of the file",
		flags: func(f *pflag.FlagSet) {
			k.fileFlag(f)
			k.nameFlag(f)
		},
		check: func() error { return errors.Join(required("keys-file", k.file), required("name", k.name)) },
		run: func(context.Context, []string) error {
			if err := auth.RevokeKey(k.file, k.name); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.stdout, "revoked %s; send SIGHUP to the servers that read %s\n", k.name, k.file)
			return err
		},
	})
}
