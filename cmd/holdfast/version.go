package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set by the linker: -X main.version=v1.2.3. Without it the module's own version speaks.
var version string

func versionText() string {
	if version != "" {
		return version
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if build.Main.Version != "" && build.Main.Version != "(devel)" {
		return build.Main.Version
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

func (p *program) versionVerb() *cobra.Command {
	output := ""
	return p.command(verb{
		use: "version", short: "which holdfast this is",
		flags: func(f *pflag.FlagSet) { f.StringVarP(&output, "output", "o", outputTable, "table or json") },
		check: func() error { return mustChooseOne("output", output, outputTable, outputJSON) },
		run: func(context.Context, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if output == outputJSON {
				return writeJSON(p.stdout, map[string]string{"version": versionText(), "go": runtime.Version(), "platform": platform})
			}
			_, err := fmt.Fprintf(p.stdout, "holdfast %s (%s, %s)\n", versionText(), runtime.Version(), platform)
			return err
		},
	})
}
