package main

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/cluster"
)

// flushPatience is how many disk timeouts a flush in the background may take: it writes many pages, and yields the
// processor to those who answer.
const flushPatience = 4

// watchFlushes ends a node whose table's disk hangs. The log's disk has its own watchdog; where only the table's hangs,
// all goes on in memory for a long time, and nobody would know.
func (s *Server) watchFlushes(ctx context.Context) {
	limit := flushPatience * s.cfg.DiskTimeout
	for pause(ctx, min(time.Second, limit/10)) {
		if s.table.Committing() > limit {
			s.fail(fmt.Errorf("%w: a flush of the table has not finished within %s", cluster.ErrDisk, limit))
			return
		}
	}
}
