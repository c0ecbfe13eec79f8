package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

// pair is the limit of a warning, and that of a failure. For most figures more is worse; for some, less.
type pair[T int | time.Duration] struct {
	warn, crit T
	lowIsBad   bool
}

func (p pair[T]) level(value T) level {
	past := func(limit T) bool { return value >= limit }
	if p.lowIsBad {
		past = func(limit T) bool { return value < limit }
	}
	switch {
	case past(p.crit):
		return bad
	case past(p.warn):
		return doubtful
	}
	return fine
}

func (p pair[T]) check(name string) error {
	if p.warn < 0 || p.crit < 0 {
		return fmt.Errorf("warn-%s and crit-%s must not be negative", name, name)
	}
	if p.lowIsBad && p.crit > p.warn || !p.lowIsBad && p.crit < p.warn {
		return fmt.Errorf("crit-%s %v: would come before warn-%s %v", name, p.crit, name, p.warn)
	}
	return nil
}

// limits are what check compares with.
type limits struct {
	tolerance pair[int] // nodes that may still be lost
	down      pair[int] // members that are not well
	lag       pair[int] // entries
	fresh     pair[time.Duration]
	cert      pair[time.Duration] // what is left
	disk      pair[int]           // percent that is free
}

func (l *limits) flags(f *pflag.FlagSet) {
	*l = limits{tolerance: pair[int]{lowIsBad: true}, cert: pair[time.Duration]{lowIsBad: true}, disk: pair[int]{lowIsBad: true}}
	f.IntVar(&l.tolerance.warn, "warn-tolerance", 1, "warn if fewer than so many nodes may still be lost")
	f.IntVar(&l.tolerance.crit, "crit-tolerance", 0, "critical if fewer")
	f.IntVar(&l.down.warn, "warn-down", 1, "warn if so many nodes are down or not well")
	f.IntVar(&l.down.crit, "crit-down", 2, "critical if so many are; always if all are")
	f.IntVar(&l.lag.warn, "warn-lag", 1000, "warn if a node is so many entries behind")
	f.IntVar(&l.lag.crit, "crit-lag", 100_000, "critical if it is so many")
	f.DurationVar(&l.fresh.warn, "warn-fresh", 2*time.Second, "warn if a node's last proof of freshness is so old")
	f.DurationVar(&l.fresh.crit, "crit-fresh", 5*time.Second, "critical if it is so old")
	f.DurationVar(&l.cert.warn, "warn-cert", 7*24*time.Hour, "warn if a certificate ends within this time; nodes renew those that they make ten days before")
	f.DurationVar(&l.cert.crit, "crit-cert", 2*24*time.Hour, "critical if within this")
	f.IntVar(&l.disk.warn, "warn-disk", 20, "warn if less than so much of a disk is free, in percent")
	f.IntVar(&l.disk.crit, "crit-disk", 10, "critical if less; always if a node gives way because of it")
}

func (l *limits) check() error {
	return errors.Join(
		l.tolerance.check("tolerance"), l.down.check("down"), l.lag.check("lag"), l.fresh.check("fresh"), l.cert.check("cert"), l.disk.check("disk"),
	)
}

// figureOf is one figure of a plugin's line: 'label'=value[unit];warn;crit;min;max.
type figureOf struct {
	label, value, unit, warn, crit string
}

func (f figureOf) String() string {
	return fmt.Sprintf("%s=%s%s;%s;%s;0", f.label, f.value, f.unit, f.warn, f.crit)
}

// counted and timed make figures. A range "N:" alerts below N, "~:N" above it: ours alert at N too.
func counted(label string, value int, unit string, p pair[int]) figureOf {
	bound := func(limit int) string {
		if p.lowIsBad {
			return strconv.Itoa(limit) + ":"
		}
		return "~:" + strconv.Itoa(limit-1)
	}
	return figureOf{label, strconv.Itoa(value), unit, bound(p.warn), bound(p.crit)}
}

func timed(label string, value time.Duration, p pair[time.Duration]) figureOf {
	bound := func(limit time.Duration) string {
		text := strconv.FormatFloat(limit.Seconds(), 'f', -1, 64)
		if p.lowIsBad {
			return text + ":"
		}
		return "~:" + text
	}
	return figureOf{label, strconv.FormatFloat(value.Seconds(), 'f', 3, 64), "s", bound(p.warn), bound(p.crit)}
}
