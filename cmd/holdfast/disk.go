package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/api"
)

const (
	// diskCheckPause lies between two looks at the free space.
	diskCheckPause = time.Second
	giveWayPause   = time.Minute
)

// errNoDiskFigure is returned where the system does not say how much of a disk is free.
var errNoDiskFigure = errors.New("the free space of a disk is not known on this system")

// disk watches the free space of the data directory. A disk that is quite full fails writes here and there, and makes
// leadership flap for seconds; so a node gives way before that: below the mark it refuses what makes its data grow,
// hands leadership away, and says that it is not ready. Logouts and deletes still pass.
type disk struct {
	dir  string
	mark int64 // bytes; 0 watches nothing
	log  *slog.Logger
	free func(dir string) (int64, error)
	// reserve is given back when the room goes on shrinking; nil is none.
	reserve *reserve

	low atomic.Bool
}

// open looks for the first time, before anything is written: a node that was stopped by a full disk makes room first.
func (d *disk) open() {
	if free, ok := d.look(); ok && d.reserve != nil {
		d.reserve.open(free)
	}
}

// look measures once. A disk that was low is well again only a quarter above
// the mark, so that it does not change with every write.
func (d *disk) look() (free int64, ok bool) {
	free, err := d.free(d.dir)
	if err != nil {
		if !errors.Is(err, errNoDiskFigure) {
			d.log.Warn("the free space could not be read", "error", err)
		}
		return 0, false
	}
	if d.mark == 0 {
		return free, true
	}
	was := d.low.Load()
	now := free < d.mark || was && free < d.mark+d.mark/4
	d.low.Store(now)
	switch {
	case now && !was:
		d.log.Error("the disk is nearly full: writes that need room are refused", "free_bytes", free, "mark_bytes", d.mark)
	case was && !now:
		d.log.Info("the disk has room again", "free_bytes", free)
	}
	return free, true
}

// watch looks until ctx ends. While the disk is low it calls giveWay, at once and then every giveWayPause: where all
// disks are low, leadership must not go round and round.
func (d *disk) watch(ctx context.Context, giveWay func(context.Context)) {
	var last time.Time
	for pause(ctx, diskCheckPause) {
		if free, ok := d.look(); ok && d.reserve != nil {
			d.reserve.look(free)
		}
		if d.low.Load() && time.Since(last) > giveWayPause {
			last = time.Now()
			giveWay(ctx)
		}
	}
}

// check is what /readyz shows.
func (d *disk) check() api.Check {
	c := api.Check{Name: api.CheckDisk, OK: !d.low.Load()}
	if !c.OK {
		c.Detail = "the disk is nearly full"
	}
	return c
}
