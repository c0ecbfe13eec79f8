package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

func main() { os.Exit(run()) }

func run() int {
	cfg, err := parseFlags(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if cfg.floorFile != "" {
		err = serveFloor(ctx, cfg.floorFile, os.Stdout)
	} else {
		err = measure(ctx, cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// measure runs the phases that the chosen rows need, and prints the table; also of an unfinished run, which is an error.
func measure(ctx context.Context, cfg config) (err error) {
	b := &bench{cfg: cfg, report: newReport(cfg)}
	parent := cfg.dir
	if b.dir, err = os.MkdirTemp(parent, "holdfast-bench-"); err != nil {
		return err
	}
	defer func() {
		b.children.KillAll()
		if cfg.keep {
			b.say("data and logs are in %s", b.dir)
		} else {
			err = errors.Join(err, os.RemoveAll(b.dir))
		}
	}()
	err = b.phases(ctx)
	b.report.print(os.Stdout)
	if cfg.jsonFile != "" {
		err = errors.Join(err, b.report.writeJSON(cfg.jsonFile))
	}
	if err != nil {
		return err
	}
	if missed := b.report.missed(); cfg.strict && len(missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(missed, ", "))
	}
	return nil
}

// bench is one run of this program.
type bench struct {
	cfg      config
	dir      string
	bin      string
	children harness.Children
	floor    *floor // nil until it is needed
	report   *report
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

func (b *bench) wants(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(b.cfg.rows, n) })
}

// phases runs what the chosen rows need. A phase that fails does not keep the next from being measured.
func (b *bench) phases(ctx context.Context) error {
	if b.cfg.quick {
		b.say("smoke run with small counts: its figures mean nothing")
	}
	b.say("%d cores, %s, data in %s", runtime.NumCPU(), runtime.Version(), b.dir)
	if b.wants(floorRow) {
		if err := b.measureFloorAlone(ctx); err != nil {
			return fmt.Errorf("floor: %w", err)
		}
	}
	var failures []error
	for _, phase := range []struct {
		name    string
		rows    []string
		measure func(context.Context, *cluster) error
	}{
		{"throughput", throughputRows(), b.measureThroughput},
		{"million", []string{"get-million", "heap", "restart"}, b.measureMillion},
		{"archive", []string{"archive-save", "archive-heap", "archive-restore"}, b.measureArchive},
		{"join", []string{"join-voter", "join-reads", "join-writes", "join-failed"}, b.measureJoin},
		{"expiry", []string{"expiry-gone", "expiry-reads", "expiry-writes"}, b.measureExpiry},
		{"failover", []string{"kill-pause", "kill-failed", "kill-reads"}, b.measureFailover},
		{"timing", []string{"timing-secret", "timing-expired", "timing-revoked"}, b.measureTiming},
	} {
		if ctx.Err() != nil {
			break
		}
		if !b.wants(phase.rows...) {
			continue
		}
		if err := b.withCluster(ctx, phase.name, phase.measure); err != nil {
			b.say("%s failed", phase.name)
			failures = append(failures, fmt.Errorf("%s: %w", phase.name, err))
		}
	}
	return errors.Join(append(failures, ctx.Err())...)
}

// withCluster runs one phase on three nodes of its own.
func (b *bench) withCluster(ctx context.Context, name string, phase func(context.Context, *cluster) error) error {
	if err := b.needBinary(ctx); err != nil {
		return err
	}
	b.say("%s: starting three nodes", name)
	c, err := b.startCluster(ctx, filepath.Join(b.dir, name))
	if err != nil {
		return err
	}
	defer c.stop(b.cfg.keep)
	if err := phase(ctx, c); err != nil && ctx.Err() == nil {
		return errors.Join(err, c.lastWords())
	}
	return nil // or ctx's error, which phases reports
}

func (b *bench) needBinary(ctx context.Context) error {
	if b.bin != "" {
		return nil
	}
	if b.cfg.bin != "" {
		path, err := filepath.Abs(b.cfg.bin)
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("-bin: %w", err)
		}
		b.bin = path
		return nil
	}
	path := filepath.Join(b.dir, "holdfast")
	b.say("building ./cmd/holdfast")
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "./cmd/holdfast").CombinedOutput(); err != nil {
		return fmt.Errorf("build ./cmd/holdfast: %w\n%s", err, out)
	}
	b.bin = path
	return nil
}
