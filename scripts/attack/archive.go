package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

const snapshotPath = "/cluster/snapshot"

// maxUnpacked bounds what an archive of this run may unpack to.
const maxUnpacked = 1 << 30

// archiveRows are archives that are none, archives in wrong hands, and an archive that would bring the dead back.
func (a *attack) archiveRows(ctx context.Context) ([]row, error) {
	s, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	operator := "Bearer " + a.cluster.operator
	if err := harness.Poll(ctx, startTime, func() error { return a.operated(ctx) }); err != nil {
		return nil, err
	}
	got, err := mustAsk(ctx, http.StatusOK, request{node: a.nodes[0], path: snapshotPath, auth: operator})
	if err != nil {
		return nil, err
	}
	whole := []byte(got.body)
	if _, err := unpacked(whole); err != nil {
		return nil, err
	}
	patched := request{node: a.nodes[1], method: "PATCH", path: currentPath, body: `{"after":"the archive"}`, auth: s.auth()}
	if _, err := mustAsk(ctx, http.StatusOK, patched); err != nil {
		return nil, err
	}
	rows := a.brokenArchives(whole)
	rows = append(rows, a.archivesInWrongHands(s, whole)...)
	return append(rows,
		steps("an upload that breaks off in the middle", "nothing changed, the node goes on", func(ctx context.Context) verdict { return a.brokenUpload(ctx, whole) }),
		steps("the session after all of these", "200, data of after the archive", func(ctx context.Context) verdict {
			got := ask(ctx, strongRead(a.nodes[2], s.token))
			if got.status != http.StatusOK || got.text("session", "data", "after") != "the archive" {
				return wrong("%s %.300s", got, got.body)
			}
			return right("200, as it was")
		}),
		steps("a session that was revoked after the archive, restored", "401 on every node", func(ctx context.Context) verdict { return a.revenant(ctx) }),
		row{
			input: "an archive within the grace of a rotation", want: "the sealed successor is not in it", long: true, alone: true,
			try: a.sealedAway,
		}), nil
}

// operated says whether the cluster has the feature level of restores.
func (a *attack) operated(ctx context.Context) error {
	got, err := mustAsk(ctx, http.StatusOK, request{node: a.nodes[0], path: "/cluster/status", auth: "Bearer " + a.cluster.operator})
	if err != nil {
		return err
	}
	if level, _ := got.member("feature_level").(float64); level < 2 {
		return fmt.Errorf("the feature level is %v", level)
	}
	return nil
}

// restores is the row of one upload by the operator.
func (a *attack) restores(input, archive, query string, want expectation, headers ...string) row {
	return asks(input, request{
		node: a.nodes[1], method: "PUT", path: snapshotPath + query, body: archive, auth: "Bearer " + a.cluster.operator,
		headers: append([]string{"Content-Type", "application/octet-stream"}, headers...),
	}, want)
}

// resealed is an archive whose bytes were changed and whose checksum is right again.
func resealed(archive []byte, change func([]byte)) string {
	changed := bytes.Clone(archive[:len(archive)-sha256.Size])
	change(changed)
	sum := sha256.Sum256(changed)
	return string(append(changed, sum[:]...))
}

func (a *attack) brokenArchives(whole []byte) []row {
	unchanged := badRequest.with("nothing was changed", func(a answer) string {
		if !strings.Contains(a.text("detail"), "nothing was changed") {
			return "the detail is " + a.text("detail")
		}
		return ""
	})
	middle := len(whole) / 2
	flipped := bytes.Clone(whole)
	flipped[middle] ^= 1
	return []row{
		a.restores("restore of nothing", "", "", unchanged),
		a.restores("restore of something else", "PK\x03\x04"+strings.Repeat("no archive ", 100), "", unchanged),
		a.restores("restore of half an archive", string(whole[:middle]), "", unchanged),
		a.restores("restore of all but the last byte", string(whole[:len(whole)-1]), "", unchanged),
		a.restores("restore of an archive and a byte", string(whole)+"x", "", unchanged),
		a.restores("restore of two archives in one", string(whole)+string(whole), "", unchanged),
		a.restores("restore of an archive with one bit changed", string(flipped), "", unchanged),
		a.restores("the same under a right checksum", resealed(whole, func(b []byte) { b[middle] ^= 1 }), "", unchanged),
		a.restores("another state hash under a right checksum", resealed(whole, func(b []byte) { b[14+40] ^= 1 }), "", unchanged),
		a.restores("another clock under a right checksum", resealed(whole, func(b []byte) { b[14+24] ^= 1 }), "", unchanged),
		a.restores("an archive of a later version", resealed(whole, func(b []byte) { b[9]++ }), "", unchanged),
		a.restores("an archive of a later kind", resealed(whole, func(b []byte) { b[14+48] = 9 }), "", unchanged),
		a.restores("an archive that says that members exchange it", resealed(whole, func(b []byte) { b[14+48] = 1 }), "", unchanged),
		a.restores("a header of 4 GiB", resealed(whole, func(b []byte) { binary.BigEndian.PutUint32(b[10:], 1<<32-1) }), "", unchanged),
		a.restores("a good archive with sessions=all, into a running cluster", string(whole), "?sessions=all", badRequest),
		a.restores("a good archive with sessions=none, into a running cluster", string(whole), "?sessions=none", badRequest),
		a.restores("a good archive with sessions=everybody", string(whole), "?sessions=everybody", badRequest),
		a.restores("a good archive that says that it is packed", string(whole), "",
			problem(http.StatusUnsupportedMediaType, "unsupported_media_type"), "Content-Encoding", "gzip"),
	}
}

func (a *attack) archivesInWrongHands(s owned, whole []byte) []row {
	var rows []row
	for _, c := range []struct {
		who, auth string
		want      expectation
	}{
		{"nobody", "", keyInvalid},
		{"a session", s.auth(), forbidden},
		{"the service key", "Bearer " + a.cluster.service, forbidden},
		{"a key that is none", "Bearer hfo_" + secretOf(strangerToken()), keyInvalid},
	} {
		rows = append(rows,
			asks("download by "+c.who, request{node: a.nodes[0], path: snapshotPath, auth: c.auth}, c.want),
			asks("restore by "+c.who, request{node: a.nodes[0], method: "PUT", path: snapshotPath, body: string(whole), auth: c.auth}, c.want))
	}
	return rows
}

// brokenUpload announces an archive and sends half of it.
func (a *attack) brokenUpload(ctx context.Context, whole []byte) verdict {
	n := a.nodes[1]
	r, w := io.Pipe()
	sent, err := http.NewRequestWithContext(ctx, http.MethodPut, n.url(snapshotPath), r)
	if err != nil {
		return wrong("%v", err)
	}
	sent.ContentLength = int64(len(whole))
	sent.Header.Set("Authorization", "Bearer "+a.cluster.operator)
	go func() {
		_, _ = w.Write(whole[:len(whole)/2]) // the other end has gone, if it fails
		_ = w.CloseWithError(errors.New("the line is dead"))
	}()
	if response, err := oneShot.Do(sent); err == nil {
		response.Body.Close()
		return wrong("status %d", response.StatusCode)
	}
	if !n.probe(ctx, "/readyz") {
		return wrong("the node is not ready any more")
	}
	return right("broken off, the node is ready")
}

// revenant restores an archive that holds a session which has been revoked since.
func (a *attack) revenant(ctx context.Context) verdict {
	dead, err := a.newSession(ctx)
	if err != nil {
		return wrong("%v", err)
	}
	alive, err := a.newSession(ctx)
	if err != nil {
		return wrong("%v", err)
	}
	operator := "Bearer " + a.cluster.operator
	archive, err := mustAsk(ctx, http.StatusOK, request{node: a.nodes[2], path: snapshotPath, auth: operator})
	if err == nil {
		_, err = mustAsk(ctx, http.StatusNoContent, request{node: a.nodes[0], method: "DELETE", path: currentPath, auth: dead.auth()})
	}
	if err != nil {
		return wrong("%v", err)
	}
	before := archive.header.Get("Holdfast-Index")
	restored, err := mustAsk(ctx, http.StatusOK, request{node: a.nodes[1], method: "PUT", path: snapshotPath, body: archive.body, auth: operator})
	if err != nil {
		return wrong("%v", err)
	}
	if restored.header.Get("Holdfast-Index")[:16] == before[:16] {
		return wrong("indexes are of the same cluster as before the restore")
	}
	if err := errors.Join(a.dead(ctx, dead.token), a.lives(ctx, alive)); err != nil {
		return wrong("%v", err)
	}
	return right("dead on all nodes, %v skipped", restored.member("skipped_dead"))
}

// sealedPattern is how a record holds the sealed successor of a secret: field 4, a byte string of 61 bytes, version 1.
var sealedPattern = []byte{0x04, 0x58, 0x3d, 0x01}

// sealedAway looks for the sealed successor in the node's own file, where it must be, and in an archive, where not.
func (a *attack) sealedAway(ctx context.Context) verdict {
	s, err := a.newSession(ctx)
	if err != nil {
		return wrong("%v", err)
	}
	if err := harness.Pause(ctx, grace+graceSlack); err != nil {
		return wrong("%v", err)
	}
	if next, err := a.rotate(ctx, s.token); err != nil || next == "" {
		return wrong("the rotation gave no new token: %v", err)
	}
	n := a.cluster.live()[0]
	archive, err := mustAsk(ctx, http.StatusOK, request{node: n, path: snapshotPath, auth: "Bearer " + a.cluster.operator})
	if err != nil {
		return wrong("%v", err)
	}
	plain, err := unpacked([]byte(archive.body))
	if err != nil {
		return wrong("%v", err)
	}
	onDisk := func() error {
		table, err := os.ReadFile(filepath.Join(n.dir, "table.db"))
		if err == nil && !bytes.Contains(table, sealedPattern) {
			err = errors.New("there is no sealed successor in the table's file: this row would show nothing")
		}
		return err
	}
	if err := harness.Poll(ctx, 10*time.Second, onDisk); err != nil {
		return wrong("%v", err)
	}
	if bytes.Contains(plain, sealedPattern) {
		return wrong("a sealed successor is in the archive")
	}
	return right("in the table's file, not in the archive")
}

// unpacked is what an archive holds, read by its description alone (docs/formats.md).
func unpacked(archive []byte) ([]byte, error) {
	const preamble = 8 + 2 + 4
	if len(archive) < preamble+sha256.Size || string(archive[:8]) != "HOLDFAST" {
		return nil, errors.New("this is no archive")
	}
	body, sum := archive[:len(archive)-sha256.Size], archive[len(archive)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return nil, errors.New("the archive's checksum is wrong")
	}
	header := int(binary.BigEndian.Uint32(body[10:]))
	if header > len(body)-preamble {
		return nil, errors.New("the archive's header is too long")
	}
	unpacker, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, err
	}
	defer unpacker.Close()
	plain, err := unpacker.DecodeAll(body[preamble+header:], nil)
	if err == nil && len(plain) == 0 {
		err = errors.New("the archive is empty")
	}
	return plain, err
}
