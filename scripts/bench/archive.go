package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
)

const (
	// transferTime bounds a save or a restore of the big store.
	transferTime = 15 * time.Minute
	// heapPause lies between two looks at a node's memory while it works.
	heapPause = 200 * time.Millisecond
)

// archived is what the binary says of an archive.
type archived struct {
	Sessions int   `json:"sessions"`
	Bytes    int64 `json:"bytes"`
	RawBytes int64 `json:"raw_bytes"`
}

// saving is one archive made and sent.
type saving struct {
	archived
	took time.Duration // until the last byte was here
	verb time.Duration // of the whole verb, which also reads the archive back and syncs it
	peak float64       // MiB of heap beyond those before
}

func (s saving) speed() float64 { return float64(s.RawBytes) / 1e6 / s.took.Seconds() }

// measureArchive saves a small store and a big one from a follower, and restores the big one into an empty cluster. Speeds
// are of the pairs before compression: what must be read and written however well they pack.
func (b *bench) measureArchive(ctx context.Context, c *cluster) error {
	tokens := &load.Tokens{}
	var saved []saving
	path := filepath.Join(b.dir, "saved.archive")
	for _, n := range []int{b.cfg.sizes.few, b.cfg.sizes.many} {
		if err := b.preload(ctx, c, tokens, n); err != nil {
			return err
		}
		b.say("archive: save of %d sessions", n)
		one, err := b.saveArchive(ctx, c, path)
		if err != nil {
			return err
		}
		if one.Sessions != n {
			return fmt.Errorf("the archive holds %d sessions of %d", one.Sessions, n)
		}
		saved = append(saved, one)
	}
	small, big := saved[0], saved[1]
	b.report.add(row{
		Name: "archive-save", Figure: fmt.Sprintf("%.0f MB/s", big.speed()), Beside: fmt.Sprintf("%d sessions", big.Sessions), Value: pointer(big.speed()),
		Notes: []string{fmt.Sprintf("%.1f s for %.0f MB of pairs, packed %.0f MB; the verb, which reads all back and syncs it, took %.1f s",
			big.took.Seconds(), float64(big.RawBytes)/1e6, float64(big.Bytes)/1e6, big.verb.Seconds())},
	})
	b.report.add(row{
		Name: "archive-heap", Figure: fmt.Sprintf("%.0f MiB", big.peak), Beside: fmt.Sprintf("%.0f MiB with %d", small.peak, small.Sessions),
		Value: pointer(big.peak), Notes: []string{"greatest Go heap of the saving node meanwhile, beyond what it was before; garbage included"},
	})
	if !b.wants("archive-restore") {
		return nil
	}
	if err := c.stop(b.cfg.keep); err != nil { // two clusters at a time would share the disk
		return err
	}
	return b.withCluster(ctx, "archive-restore", func(ctx context.Context, empty *cluster) error {
		return b.restoreArchive(ctx, empty, path, tokens, big)
	})
}

// saveArchive downloads an archive for its time, and then another with the binary, which checks it.
func (b *bench) saveArchive(ctx context.Context, c *cluster, path string) (s saving, err error) {
	leader, err := c.leader(ctx)
	if err != nil {
		return s, err
	}
	n := c.nodes[0]
	if n == leader {
		n = c.nodes[1]
	}
	began := time.Now()
	if s.peak, err = n.peak(ctx, func() error { return n.download(ctx, c.operator) }); err != nil {
		return s, fmt.Errorf("save: %w", err)
	}
	s.took = time.Since(began)
	began = time.Now()
	out, err := b.transfer(ctx, c, n, "save", path, "--overwrite")
	if err != nil {
		return s, err
	}
	s.verb = time.Since(began)
	return s, json.Unmarshal(out, &s.archived)
}

// download takes an archive and keeps nothing of it.
func (n *node) download(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.httpAddr+"/cluster/snapshot", nil)
	if err != nil {
		return err
	}
	request.Close = true
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		said, err := io.ReadAll(io.LimitReader(response.Body, 1000))
		return errors.Join(fmt.Errorf("status %d: %s", response.StatusCode, said), err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// peak is how far a node's heap rose, in MiB, while it worked.
func (n *node) peak(ctx context.Context, work func() error) (float64, error) {
	look := func() (float64, error) {
		m, err := n.metrics(ctx)
		return m["go_memstats_heap_inuse_bytes"] / mib, err
	}
	before, err := look()
	if err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- work() }()
	greatest := before
	for {
		select {
		case err := <-done:
			return greatest - before, err
		case <-time.After(heapPause):
			now, err := look()
			if err != nil {
				return 0, errors.Join(err, <-done)
			}
			greatest = max(greatest, now)
		}
	}
}

// transfer runs a verb of snapshot that may take long.
func (b *bench) transfer(ctx context.Context, c *cluster, n *node, verb, path string, more ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, b.bin, append([]string{"snapshot", verb, path, "--addr", n.httpAddr, "-o", "json"}, more...)...)
	cmd.Env = append(os.Environ(), "HOLDFAST_KEY="+c.operator)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("snapshot %s: %w: %s", verb, err, strings.TrimSpace(stderr.String()))
	}
	return out, err
}

// restoreArchive fills an empty cluster, and reads some of the sessions there with their tokens.
func (b *bench) restoreArchive(ctx context.Context, c *cluster, path string, tokens *load.Tokens, big saving) error {
	n := c.nodes[0]
	if err := harness.Poll(ctx, startTime, func() error { return n.operated(ctx, c.operator) }); err != nil {
		return err
	}
	b.say("archive: restore of %d sessions into an empty cluster", big.Sessions)
	var done struct {
		Restored int     `json:"restored"`
		TookMS   float64 `json:"took_ms"`
	}
	peak, err := n.peak(ctx, func() error {
		out, err := b.transfer(ctx, c, n, "restore", path, "--sessions", "all", "--yes")
		if err == nil {
			err = json.Unmarshal(out, &done)
		}
		return err
	})
	if err != nil {
		return err
	}
	if done.Restored != big.Sessions {
		return fmt.Errorf("%d sessions were restored of %d", done.Restored, big.Sessions)
	}
	for i := range 20 {
		at := c.nodes[i%len(c.nodes)]
		if _, err := at.session(ctx, tokens.At(i*(tokens.Len()/20))); err != nil {
			return fmt.Errorf("a token after the restore: %w", err)
		}
	}
	seconds := done.TookMS / 1000
	speed := float64(big.RawBytes) / 1e6 / seconds
	b.report.add(row{
		Name: "archive-restore", Figure: fmt.Sprintf("%.1f s", seconds), Beside: fmt.Sprintf("%d sessions", done.Restored), Value: pointer(seconds),
		Notes: []string{fmt.Sprintf("%.0f MB/s, %.0f sessions a second, through the log of three nodes on one machine, an event for each; heap up by %.0f MiB",
			speed, float64(done.Restored)/seconds, peak)},
	})
	return nil
}

// operated says whether the cluster has the feature level of restores.
func (n *node) operated(ctx context.Context, key string) error {
	_, body, err := n.must(ctx, "/cluster/status", "Bearer "+key)
	if err != nil {
		return err
	}
	var status struct {
		Level int `json:"feature_level"`
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return err
	}
	if status.Level < 2 {
		return fmt.Errorf("the feature level is %d", status.Level)
	}
	return nil
}
