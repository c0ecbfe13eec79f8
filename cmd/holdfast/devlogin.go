package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The login issuer of a development cluster stands for Auth0 or another OIDC provider: it signs who somebody is. Its
// name leads nowhere (RFC 2606): the servers have its keys as a file.
const (
	devIssuer   = "https://login.holdfast.invalid/"
	devAudience = "holdfast-dev"
	devKid      = "dev"
	devUser     = "dev|ada"

	devLoginLifetime = 12 * time.Hour
)

// login signs a login JWT for a user.
func (d devFiles) login(user string, now time.Time) (string, error) {
	private, err := d.readLogin()
	if err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": devIssuer, "aud": devAudience, "sub": user,
		"iat": now.Unix(), "exp": now.Add(devLoginLifetime).Unix(),
	})
	token.Header["kid"] = devKid
	return token.SignedString(private)
}

func (p *program) devLoginVerb() *cobra.Command {
	dir, user := "", ""
	return p.command(verb{
		use: "login", short: "print a fresh login JWT of the development cluster's issuer",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&dir, "data-dir", defaultDevDir, "the data directory of holdfast dev")
			f.StringVar(&user, "user", devUser, "whose login: the claim sub")
		},
		check: func() error { return errors.Join(required("data-dir", dir), required("user", user)) },
		run: func(context.Context, []string) error {
			dir, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			text, err := devFiles{dir: dir}.login(user, time.Now())
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("no development cluster in %s: run holdfast dev first", dir)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, text)
			return err
		},
	})
}
