package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// Archives saves the whole state and restores it; cmd adapts it. Its errors are treated as those of Sessions.
type Archives interface {
	// Save makes an archive that holds every write acknowledged before the call. It may take as long as ctx lasts: minutes,
	// for a state of many gigabytes. The caller closes the archive.
	Save(ctx context.Context) (Archive, error)
	// Restore reads an archive to its end, and changes nothing unless it is whole. Sessions is "", "all" or "none". It may
	// take as long as ctx lasts; where that ends first, the same call goes on from there.
	Restore(ctx context.Context, archive io.Reader, sessions string) (Restored, error)
}

// Restored says what became of the archive's sessions.
type Restored struct {
	Restored    uint64 // they have the archive's data now
	SkippedDead uint64 // they stay dead
	Unchanged   uint64 // they have had that data already
	Index       session.Index
}

// Archive is one state, ready to be sent.
type Archive struct {
	io.ReadCloser
	Size  int64  // bytes
	Name  string // of the file that it may be kept in
	Index session.Index
}

// transferIdle is how long a download or an upload may stand still.
const transferIdle = 30 * time.Second

// transferPiece is how much is sent or read under one deadline.
const transferPiece = 256 << 10

var octets = []string{"application/octet-stream"}

// saveSnapshot answers GET /cluster/snapshot.
func (s *Server) saveSnapshot(c *call) error {
	if err := c.archivists(); err != nil {
		return err
	}
	c.streamed = true
	if c.r.Method == http.MethodHead { // no archive is made to count its bytes
		c.w.Header()[headerContentType] = octets
		c.head(http.StatusOK)
		return nil
	}
	ctx, cancel := c.untilDrained()
	defer cancel()
	control := http.NewResponseController(c.w)
	if err := control.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	archive, err := s.cfg.Archives.Save(ctx)
	if err != nil {
		return err
	}
	defer archive.Close()
	c.index = archive.Index
	h := c.w.Header()
	h[headerContentType] = octets
	c.set("Content-Disposition", `attachment; filename="`+archive.Name+`"`)
	c.set(headerContentLen, decimal(int(archive.Size)))
	c.head(http.StatusOK)
	piece := make([]byte, transferPiece)
	for ctx.Err() == nil {
		n, err := archive.Read(piece)
		if n > 0 {
			if control.SetWriteDeadline(time.Now().Add(transferIdle)) != nil {
				break
			}
			wrote, err := c.w.Write(piece[:n])
			if c.size += wrote; err != nil {
				break
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			s.log.Error("an archive could not be read while it was sent", "error", err, "request_id", c.requestID())
			break
		}
	}
	// net/http breaks the connection: what was sent is less than was announced, and no client takes it for whole.
	panic(http.ErrAbortHandler)
}

// restoreSnapshot answers PUT /cluster/snapshot. A restore that has begun goes on when its caller hangs up: half of one is
// of no use to anybody.
func (s *Server) restoreSnapshot(c *call) error {
	if err := c.archivists(); err != nil {
		return err
	}
	sessions, there, err := c.query("sessions")
	switch {
	case err != nil:
		return err
	case there && sessions != "all" && sessions != "none":
		return session.ErrInvalidRequest.With("the parameter sessions must be all or none")
	case c.r.Header[headerContentCode] != nil:
		return session.ErrUnsupportedMediaType.With("the archive must be sent as it is, without a Content-Encoding")
	}
	c.streamed = true
	control := http.NewResponseController(c.w)
	if err := control.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	done, err := s.cfg.Archives.Restore(s.streams, &upload{body: c.r.Body, control: control}, sessions)
	if deadline := control.SetWriteDeadline(time.Now().Add(transferIdle)); err == nil {
		err = deadline
	}
	if err != nil {
		return err
	}
	c.index = done.Index
	body := strconv.AppendUint([]byte(`{"restored":`), done.Restored, 10)
	body = strconv.AppendUint(append(body, `,"skipped_dead":`...), done.SkippedDead, 10)
	body = strconv.AppendUint(append(body, `,"unchanged":`...), done.Unchanged, 10)
	body = strconv.AppendUint(append(body, `,"index":`...), done.Index.Index, 10)
	body = fmt.Appendf(body, `,"cluster":"%016x","took_ms":%d}`+"\n", done.Index.Cluster, time.Since(c.began).Milliseconds())
	return c.answer(http.StatusOK, body)
}

// upload is a body without a limit of its own, which must go on coming.
type upload struct {
	body    io.Reader
	control *http.ResponseController
}

// Read says as a problem what is the client's doing.
func (u *upload) Read(p []byte) (int, error) {
	if err := u.control.SetReadDeadline(time.Now().Add(transferIdle)); err != nil {
		return 0, err
	}
	n, err := u.body.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		// What follows on the connection is not this body's.
		if err := u.control.SetReadDeadline(time.Time{}); err != nil {
			return n, err
		}
	case err != nil:
		err = session.ErrInvalidRequest.With("nothing was changed: the archive broke off, or did not go on arriving")
	}
	return n, err
}

// archivists lets operators pass, where this server keeps archives at all.
func (c *call) archivists() error {
	if err := c.operators(); err != nil {
		return err
	}
	if c.s.cfg.Archives == nil {
		return session.ErrNotFound.With("this server keeps no archives")
	}
	return nil
}

// untilDrained is a context for what takes longer than a request may: it ends when the client goes, or the node drains.
func (c *call) untilDrained() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.r.Context())
	stop := context.AfterFunc(c.s.streams, cancel)
	return ctx, func() { stop(); cancel() }
}
